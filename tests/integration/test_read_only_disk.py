"""A data directory that nothing can be written to any more, under a running daemon."""

import os
import subprocess

import pytest

MODEL = "def f(xs):\n    return [{value} for _ in xs]\n"


@pytest.fixture
def sealed(daemon):
    """Return a function that makes the data directory of a daemon read-only, until the end."""
    folder = str(daemon.data_dir)

    def seal():
        for options in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
            if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
                pytest.skip("only root can mount")

    if os.geteuid():
        pytest.skip("only root can mount")
    yield seal
    subprocess.run(["umount", "-l", folder], check=False)


def test_it_is_said_as_a_full_disk_is(daemon, sealed):
    """What cannot be stored is refused with the reason and the folder; queries go on."""
    model = daemon.data_dir.parent / "model.py"
    model.write_text(MODEL.format(value=1))
    assert daemon.cli("deploy", f"{model}:f", "--slo", "5s").returncode == 0
    sealed()
    model.write_text(MODEL.format(value=2))
    for words in (("deploy", f"{model}:f"), ("scale", "f", "2")):
        done = daemon.cli(*words)
        assert done.returncode == 1, words
        assert "Read-only file system" in done.stderr
        assert str(daemon.data_dir) in done.stderr
        assert "unexpected error" not in done.stderr
    status, answer = daemon.query("/f/predict", {"input": [1.0]})
    assert (status, answer["output"]) == (200, 1)
    log = (daemon.data_dir / "logs" / "daemon.log").read_text()
    assert "Traceback" not in log

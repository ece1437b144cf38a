"""`python -m model_runtime.probe` against a real replica process."""

import json
import subprocess
import sys

import pytest

from model_runtime import probe
from model_runtime.protocol import ProtocolError
from tests.daemon import free_port
from tests.image_specs import make_bundle
from tests.scripted_replica import ScriptedReplica

WAIT_S = 30


@pytest.fixture
def ask(tmp_path):
    """Return a function that starts a replica of a source text and probes it; it is ended."""
    started = []

    def run(source=None):
        address = f"tcp://127.0.0.1:{free_port()}"
        if source is not None:
            bundle = make_bundle(tmp_path / "bundle")
            (bundle / "files" / "f.py").write_text(source)
            words = ["--listen", address, "--bundle", str(bundle), "--model=m", "--version=1"]
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "model_runtime", *words], stderr=subprocess.DEVNULL
                )
            )
        limit = f"--timeout={WAIT_S if source else 0.5}"
        words = [sys.executable, "-m", "model_runtime.probe", address, limit]
        done = subprocess.run(words, capture_output=True, text=True, timeout=WAIT_S, check=False)
        return done.returncode, json.loads(done.stdout)

    yield run
    for process in started:
        process.kill()
        process.wait(WAIT_S)


def test_a_replica_that_loads_is_told_when_it_is_ready(ask):
    """Exit 0; the info says which model it is."""
    code, found = ask("def f(xs):\n    return [1 for _ in xs]\n")
    assert (code, found["state"], found["info"]["model"]) == (0, "ready", "m")


def test_a_replica_that_fails_tells_why(ask):
    """Exit 3; the error is in the info."""
    code, found = ask("import nowhere_to_be_found\n")
    assert (code, found["state"]) == (3, "failed")
    assert "nowhere_to_be_found" in found["info"]["error"]["message"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_replica_of_each_version_is_understood(version):
    """The probe of an image may meet a replica that is older than itself."""
    with ScriptedReplica() as replica:
        replica.version = version
        state, info = probe.ask(replica.address, WAIT_S)
    assert (state, info) == ("ready", {"row_items": None})


def test_a_version_that_is_not_known_is_named():
    """It may mean anything."""
    with ScriptedReplica() as replica:
        replica.version = 3
        with pytest.raises(ProtocolError, match=r"speaks version \[3\]"):
            probe.ask(replica.address, WAIT_S)


def test_silence_is_no_answer(ask):
    """Exit 1 after the time that was given."""
    assert ask() == (1, {"state": "", "info": {}})

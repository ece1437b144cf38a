"""What a daemon keeps on the disk is its user's alone, however the machine is set up."""

import stat
import subprocess
import sys
from pathlib import Path

from servd.config import Config

OTHERS = 0o077
MODEL = """
from pathlib import Path
Path({path!r}).write_text("made by a model")

def f(xs):
    print("a line")
    return [0 for _ in xs]
"""


def open_to_others(folder):
    """Return what below a folder others may read, write or enter, but for links."""
    paths = [folder, *folder.rglob("*")]
    found = {path: path.lstat().st_mode for path in paths}
    return [
        str(path.relative_to(folder.parent))
        for path, mode in found.items()
        if mode & OTHERS and not stat.S_ISLNK(mode)
    ]


def servd(daemon, *args, mask):
    """Run a command under a file mode creation mask."""
    subprocess.run(
        [sys.executable, "-m", "servd", *args],
        env=daemon.env,
        umask=mask,
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_the_data_directory_is_closed_whatever_the_mask(idle_daemon):
    """Also what was open before, as systemd's StateDirectory; a model's own files keep the mask."""
    folder = idle_daemon.data_dir
    made = folder.parent / "made.txt"
    model = folder.parent / "model.py"
    model.write_text(MODEL.format(path=str(made)))
    folder.mkdir(mode=0o755)
    (folder / "logs").mkdir()
    (folder / "logs" / "daemon.log").write_text("of before\n")
    servd(idle_daemon, "start", mask=0)
    servd(idle_daemon, "deploy", f"{model}:f", mask=0)
    assert open_to_others(folder) == []
    idle_daemon.stop()
    for path in (folder, *folder.glob("servd.db*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    servd(idle_daemon, "start", mask=0o002)
    assert open_to_others(folder) == []
    assert stat.S_IMODE(made.stat().st_mode) in (0o666, 0o664)


def test_a_link_in_place_of_the_run_folder_is_refused(idle_daemon, tmp_path):
    """It may lie in /tmp, where anybody can make one that leads to a folder of ours."""
    idle_daemon.data_dir = idle_daemon.data_dir.parent / ("x" * 60)
    run_dir = Config(data_dir=idle_daemon.data_dir).run_dir
    assert run_dir.parent == Path("/tmp")
    run_dir.symlink_to(tmp_path)
    try:
        done = idle_daemon.cli("start")
    finally:
        run_dir.unlink()
    assert done.returncode == 1
    assert f"{run_dir} belongs to another user" in done.stderr

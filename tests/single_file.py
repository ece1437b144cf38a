"""servd as one file (`make pex`), run as on a machine that has a Python and little else.

Built once for all tests, and only where what it is made of has changed: scripts/single_file.py.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.daemon import CLI_TIMEOUT_S, Daemon

ROOT = Path(__file__).parents[1]
FILE = ROOT / "build" / "servd"
_COREUTILS = ("basename", "cat", "dirname", "env", "ls", "mkdir", "readlink", "uname")


def build() -> Path:
    """Return the file, built where it is not there or its sources have changed."""
    command = [sys.executable, "scripts/single_file.py", str(FILE)]
    done = subprocess.run(
        command, cwd=ROOT, check=False, timeout=500, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return FILE


@dataclass
class FileDaemon(Daemon):
    """A daemon of the single file: an empty home, a PATH of a Python and coreutils."""

    folder: Path = Path()
    variables: dict[str, str] = field(default_factory=dict)
    """What the user's shell has besides."""

    @property
    def env(self) -> dict[str, str]:
        """All that the file is given: nothing comes from the tests' own environment."""
        servd = {name: text for name, text in super().env.items() if name.startswith("SERVD_")}
        places = {"HOME": str(self.folder / "home"), "PEX_ROOT": str(self.folder / "pex")}
        return {**servd, **places, "PATH": str(self.folder / "bin"), **self.variables}

    def cli(
        self, *args: str, cwd: Path | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the file to its end, from a folder that has nothing to do with it."""
        return subprocess.run(
            [str(FILE), *args],
            cwd=cwd or self.folder / "home",
            env=self.env,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=CLI_TIMEOUT_S,
            check=False,
        )


@contextmanager
def file_daemon() -> Iterator[FileDaemon]:
    """Yield a daemon of the file that has not been started, and end it."""
    build()
    folder = Path(tempfile.mkdtemp(prefix="sv-"))  # short, for the sockets' sake
    for name in ("home", "bin"):
        (folder / name).mkdir()
    (folder / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    for name in _COREUTILS:
        (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    daemon = FileDaemon(data_dir=folder / "data", folder=folder)
    try:
        yield daemon
        daemon.stop()
        daemon.check_logs()
    finally:
        daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


def make_environment(folder: Path, **modules: str) -> Path:
    """Make a virtual environment that holds what local wheels of these modules bring, no more."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, timeout=60)
    packages = next((folder / "lib").glob("python*/site-packages"))
    for name, text in modules.items():
        wheel = folder / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            info = f"{name}-1.0.dist-info"
            archive.writestr(f"{name}.py", text)
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/RECORD,,\n")
        # Pure, so that to unpack it is to install it.
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
        wheel.unlink()
    return folder

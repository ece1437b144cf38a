"""What pip makes of a package that was packed from where it is installed."""

import subprocess
import sys

from servd.imaging.sources import source_of


def test_a_wheel_installs_what_is_here(site, tmp_path):
    """A real pip installs it; files, metadata and commands are there, equal each time."""
    site.install(
        "our_lib", "2.0+cpu", files={"our_lib/__init__.py": "A = 1\n", "our_lib/d.txt": "x"}
    )
    source = source_of("our-lib")
    source.write(tmp_path / "a")
    source.write(tmp_path / "b")
    wheel = tmp_path / "a" / source.filename
    assert wheel.read_bytes() == (tmp_path / "b" / source.filename).read_bytes()
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile"]
    target = tmp_path / "target"
    subprocess.run([*command, "--target", target, wheel], check=True, capture_output=True)
    installed = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert {"our_lib/__init__.py", "our_lib/d.txt", "bin/our_lib"} <= installed
    code = "import our_lib, importlib.metadata as m; print(our_lib.A, m.version('our-lib'))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(target)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "1 2.0+cpu\n"

"""Makes Docker images of the Python that runs this, as no registry can be reached from everywhere.

`python tests/docker/make_base_image.py TAG` makes a bare one with pip; with `--with-runtime` what
model_runtime needs is in it. For tests only: it holds a copy of this machine's libraries.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

RUNTIME = ("zmq", "pyzmq.libs", "pyzmq-*", "msgpack", "msgpack-*", "numpy", "numpy.libs", "numpy-*")
"""What lies in site-packages for a replica."""

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_SKIPPED = ("test", "idlelib", "tkinter", "ensurepip", "site-packages")
_LEFT_OUT = (".a", ".opt-1.pyc", ".opt-2.pyc")
"""Other byte code comes along, or whatever starts in a container compiled all that it imports."""
_LIBRARY = re.compile(r"(/\S+)")
_OPENED_BY_NAME = (
    *("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2", "libpthread.so.0", "libdl.so.2"),
    *("librt.so.1", "libm.so.6", "libutil.so.1", "libgcc_s.so.1", "libstdc++.so.6", "libgomp.so.1"),
)
"""Libraries that are loaded at run time, so that no file names them."""


class Root:
    """The file system of an image as a tar in memory."""

    def __init__(self) -> None:
        self.file = io.BytesIO()
        self._tar = tarfile.open(  # noqa: SIM115 - closed by close()
            fileobj=self.file, mode="w", dereference=True
        )
        self._known: set[str] = set()
        self.shared: set[Path] = set()

    def close(self) -> None:
        """Finish the tar."""
        self._tar.close()
        self.file.seek(0)

    def add(self, path: Path, name: str | None = None) -> None:
        """Add a file under a name, by default its own path; once."""
        inside = os.path.normpath(name or path).lstrip("/")
        if inside in self._known:
            return
        self._known.add(inside)
        self._tar.add(path.resolve(), inside, recursive=False)
        if ".so" in path.name or os.access(path, os.X_OK):
            self.shared.update(libraries_of(path))

    def add_tree(self, folder: Path, skipped: tuple[str, ...] = _SKIPPED) -> None:
        """Add all files below a folder but what no program needs."""
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name not in skipped]
            for name in names:
                if not name.endswith(_LEFT_OUT):
                    self.add(Path(parent, name))

    def write(self, name: str, text: str) -> None:
        """Add a small file."""
        member = tarfile.TarInfo(name.lstrip("/"))
        member.size = len(text)
        self._tar.addfile(member, io.BytesIO(text.encode()))

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Add an empty folder."""
        member = tarfile.TarInfo(name.lstrip("/"))
        member.type, member.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(member)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        member = tarfile.TarInfo(name.lstrip("/"))
        member.type, member.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(member)


def libraries_of(path: Path) -> Iterator[Path]:
    """Yield the shared libraries that a program or a library loads."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        found = _LIBRARY.search(line.split("=>")[-1])
        if found and Path(found[1]).exists():
            yield Path(found[1])


def python_home() -> tuple[Path, Path, Path]:
    """Return the interpreter's program, its standard library, and where it finds packages."""
    base = Path(sys.base_prefix)
    program = (base / "bin" / f"python3.{sys.version_info.minor}").resolve()
    asked = "import site, sysconfig; print(sysconfig.get_path('stdlib'), site.getsitepackages()[0])"
    command = [program, "-I", "-c", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    library, packages = done.stdout.split()
    return program, Path(library), Path(packages)


def make(tag: str, *, with_runtime: bool) -> None:
    """Make the image."""
    program, library, packages = python_home()
    root = Root()
    root.add(program)
    root.add_tree(library)
    for shell in ("/bin/dash", "/usr/bin/env"):
        root.add(Path(shell), "/bin/sh" if shell.endswith("dash") else shell)
    if _CERTIFICATES.exists():
        root.add(_CERTIFICATES)
    add_packages(root, ("pip", "pip-*"), packages)
    if with_runtime:
        add_packages(root, RUNTIME, packages)
    add_shared(root)
    for name, mode in (("tmp", 0o1777), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755)):
        root.folder(name, mode)
    root.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    root.write("etc/nsswitch.conf", "hosts: files dns\n")
    for name in ("usr/bin/python3", "usr/bin/python"):
        root.link(name, str(program))
    root.close()
    load(tag, root, program)


def add_packages(root: Root, patterns: tuple[str, ...], target: Path) -> None:
    """Add packages of the environment that runs this."""
    source = Path(sysconfig.get_path("purelib"))
    for folder in (found for pattern in patterns for found in source.glob(pattern)):
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name != "tests"]
            for name in names:
                path = Path(parent, name)
                root.add(path, str(target / path.relative_to(source)))


def add_shared(root: Root) -> None:
    """Add the shared libraries of all that was added, and those that are loaded by name."""
    for folder in {path.parent for path in root.shared}:
        root.shared.update(folder / name for name in _OPENED_BY_NAME if (folder / name).exists())
    for path in sorted(root.shared):
        root.add(path)


def load(tag: str, root: Root, program: Path) -> None:
    """Have the engine import the tar as an image."""
    environment = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "PIP_CERT": str(_CERTIFICATES),
        "SSL_CERT_FILE": str(_CERTIFICATES),
    }
    changes = ["ENV " + " ".join(f"{name}={value}" for name, value in environment.items())]
    client = docker.from_env(timeout=300)
    try:
        repository, _, version = tag.partition(":")
        client.api.import_image_from_data(
            root.file.getvalue(), repository=repository, tag=version or "latest", changes=changes
        )
    finally:
        client.close()


def main() -> None:
    """Read the command line and make the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag")
    parser.add_argument("--with-runtime", action="store_true")
    given = parser.parse_args()
    if shutil.which("ldd") is None:
        parser.error("ldd is not here: the image's libraries cannot be found")
    make(given.tag, with_runtime=given.with_runtime)


if __name__ == "__main__":
    main()

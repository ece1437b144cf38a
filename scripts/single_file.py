"""Builds servd as one file that needs only a Python. Called by `make pex` and tests/single_file.py.

In it are servd's own wheel and those of requirements.lock that servd itself needs, by their hashes.
The same sources, lock, versions of Python and pex give the same bytes.

usage: .venv/bin/python scripts/single_file.py OUTPUT [--python 3.12]... [--extras docker,k8s]
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from importlib.metadata import requires, version
from pathlib import Path
from typing import Final

from packaging import tags
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "requirements.lock"
ENTRY: Final = "servd.cli.single_file:main"
CURRENT: Final = "{}.{}".format(*sys.version_info)
_PACKAGES: Final = ("servd", "model_runtime", "k8s_adapter")
_FILES: Final = ("requirements.lock", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
_EPOCH: Final = "315532800"  # 1980, the first year that a zip archive knows


def main() -> None:
    """Build the file, unless it is there and what it is made of has not changed."""
    parser = argparse.ArgumentParser(description="Build servd as one file.")
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument("--python", action="append", default=[], metavar="X.Y")
    parser.add_argument("--extras", default="docker", metavar="NAMES")
    given = parser.parse_args()
    # That of this environment first: pex builds with it, for the others by their platforms.
    versions = sorted({CURRENT, *given.python}, key=lambda each: (each != CURRENT, each))
    root = f"servd[{given.extras}]" if given.extras else "servd"
    output: Path = given.output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    mark = output.with_name(f"{output.name}.digest")
    with output.with_name(f"{output.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = _digest([root, *versions])
        if not (output.exists() and mark.exists() and mark.read_text() == digest):
            _build(output, root, versions)
            mark.write_text(digest)
    print(f"{given.output}: {output.stat().st_size / 1e6:.0f} MB, Python {', '.join(versions)}")


def _digest(words: Iterable[str]) -> str:
    """Return what changes when anything does that the file is made of."""
    digest = hashlib.sha256("\0".join([*words, version("pex")]).encode())
    for path in [*map(Path, _FILES), Path(__file__).relative_to(ROOT), *sources()]:
        digest.update(f"\0{path}\0".encode() + (ROOT / path).read_bytes())
    return digest.hexdigest()


def sources() -> Iterator[Path]:
    """Yield the files of the packages, relative to the root of the repository."""
    for package in _PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT)


def _build(output: Path, root: str, versions: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="servd-pex-") as text:
        folder = Path(text)
        wheels = folder / "wheels"
        _run(
            *("pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"),
            *("--no-build-isolation", "-w", str(wheels), str(copy_of_sources(folder))),
        )
        # Of the wheel, as what is installed here may be older than the sources.
        needs = _needs(next(wheels.glob("servd-*.whl")))
        for each in versions:
            names = _closure(Requirement(root), needs, _environment(each))
            _download(_locked(names), each, wheels, folder)
        made = folder / output.name
        _run(
            *("pex", root, "--pre-resolved-dists", str(wheels), "-e", ENTRY, "-o", str(made)),
            *("--venv", "--venv-site-packages-copies", "--non-hermetic-venv-scripts", "--sh-boot"),
            *("--no-emit-warnings", "--disable-cache", "--tmpdir", text),
            *_targets(versions, folder),
        )
        # On the same file system, or it would not be there at once.
        beside = output.with_name(f".{output.name}.new")
        beside.write_bytes(made.read_bytes())
        beside.chmod(0o755)
        beside.replace(output)


def copy_of_sources(folder: Path) -> Path:
    """Return a copy of what the wheel is made of: setuptools leaves folders beside it."""
    copy = folder / "sources"
    for path in [*map(Path, _FILES), *sources()]:
        there = copy / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes((ROOT / path).read_bytes())
        there.chmod(0o644)
    return copy


def _environment(python: str) -> dict[str, str]:
    """Return what markers of requirements are evaluated with."""
    environment = {name: str(value) for name, value in default_environment().items()}
    if python != CURRENT:
        full = {"python_full_version": f"{python}.0", "implementation_version": f"{python}.0"}
        environment |= {"python_version": python, **full}
    return environment


def _needs(wheel: Path) -> list[str]:
    """Return what a wheel says that it requires."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])


def _closure(root: Requirement, own: list[str], environment: dict[str, str]) -> set[str]:
    """Return the names of the packages that servd needs, directly (`own`) or by way of others."""
    seen: set[tuple[str, str]] = set()
    to_do = [root]
    while to_do:
        wanted = to_do.pop()
        for extra in ("", *wanted.extras):
            name = canonicalize_name(wanted.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            markers = {**environment, "extra": extra}
            needs = own if name == root.name else requires(name) or []
            found = map(Requirement, needs)
            to_do += [each for each in found if not each.marker or each.marker.evaluate(markers)]
    return {str(name) for name, _ in seen} - {"servd"}


def _locked(names: set[str]) -> str:
    """Return the lines of requirements.lock about these packages."""
    found = {}
    for entry in re.split(r"\n(?=\S)", LOCK.read_text()):
        if match := re.match(r"([A-Za-z0-9._-]+)==", entry):
            found[str(canonicalize_name(match[1]))] = entry
    if missing := sorted(names - found.keys()):
        sys.exit(f"requirements.lock lacks {', '.join(missing)}: make lock")
    return "\n".join(found[name] for name in sorted(names)) + "\n"


def _download(locked: str, python: str, wheels: Path, folder: Path) -> None:
    file = folder / f"requirements-{python}.txt"
    file.write_text(locked)
    _run(
        *("pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "-r", str(file), "-d", str(wheels)),
        *(() if python == CURRENT else ("--python-version", python)),
    )


def _targets(versions: list[str], folder: Path) -> Iterator[str]:
    """Yield the options that say for which Pythons the file is.

    With constraints its environment lies in one folder wherever the interpreter does, so that the
    file finds it again without starting a Python of its own for that.
    """
    yield f"--python-path={sys.executable}"
    for each in versions:
        yield f"--interpreter-constraint=CPython=={each}.*"
    for each in versions[1:]:
        numbers = [int(part) for part in each.split(".")]
        known = [*tags.cpython_tags(numbers), *tags.compatible_tags(numbers)]
        platform = folder / f"platform-{each}.json"
        described = {
            "compatible_tags": [str(tag) for tag in known],
            "marker_environment": _environment(each),
        }
        platform.write_text(json.dumps(described))
        yield f"--complete-platform={platform}"


def _run(module: str, *arguments: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _EPOCH, "PIP_ROOT_USER_ACTION": "ignore"}
    command = [sys.executable, "-m", module, *arguments]
    # What went wrong is on stderr; pex says on stdout under which name it has written the file.
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{module} failed: its own words are above")


if __name__ == "__main__":
    main()

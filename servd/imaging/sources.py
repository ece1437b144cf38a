"""Installed packages that no index has, as wheels made of their files. Used by packages.py.

Which they are is in their metadata (direct_url.json, PEP 610) or in a local version (PEP 440). A
wheel is made by packing the files that are there: what is in the image is what works here, and
neither a build tool nor a network is needed. Nothing of a package is run.
"""

import base64
import functools
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from servd.environments.interpreter import Interpreter
from servd.imaging.additions import without_secret

MAX_BYTES: Final = 512 << 20
"""The largest package that is taken along; of a larger one pip has to be told where it is."""
_MAX_FILES: Final = 20_000
_LEFT_OUT: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "WHEEL"})
"""What an installation adds to a wheel's metadata, and what is written anew."""
_COMPILED: Final = (".so", ".pyd", ".dylib")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """A package as it is installed here. `origin` says in words where it came from.

    `files` are what its wheel holds, by name; empty where there is nothing to pack, or too much,
    as `problem` says.
    """

    name: str
    version: str
    origin: str
    files: Mapping[str, Path]
    metadata: Mapping[str, str]
    tag: str
    problem: str = ""

    @property
    def filename(self) -> str:
        """The name of its wheel."""
        return f"{re.sub(r'[-_.]+', '_', self.name)}-{self.version}-{self.tag}.whl"

    @property
    def digest(self) -> str:
        """A digest of all that is in its wheel."""
        total = hashlib.sha256(self.filename.encode())
        for name, content in self._contents():
            total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        return total.hexdigest()

    def write(self, folder: Path) -> None:
        """Write the wheel; equal files give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        record = []
        with zipfile.ZipFile(folder / self.filename, "w", zipfile.ZIP_STORED) as archive:
            for name, content in self._contents():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
                hashed = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
                record.append(f"{name},sha256={hashed.rstrip(b'=').decode()},{len(content)}")
            name = f"{self._info}/RECORD"
            text = "\n".join([*record, f"{name},,\n"])
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text)

    @property
    def _info(self) -> str:
        return f"{re.sub(r'[-_.]+', '_', self.name)}-{self.version}.dist-info"

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        for name, path in sorted(self.files.items()):
            yield name, path.read_bytes()
        is_pure = "true" if self.tag.endswith("-any") else "false"
        wheel = "".join(f"Tag: {tag}\n" for tag in _expanded(self.tag))
        head = f"Wheel-Version: 1.0\nGenerator: servd\nRoot-Is-Purelib: {is_pure}\n"
        for name, text in sorted({**self.metadata, "WHEEL": head + wheel}.items()):
            yield f"{self._info}/{name}", text.encode()


def _expanded(tag: str) -> list[str]:
    pythons, abis, platforms = tag.split("-")
    return [
        f"{python}-{abi}-{platform}"
        for python in pythons.split(".")
        for abi in abis.split(".")
        for platform in platforms.split(".")
    ]


@functools.cache
def source_of(name: str) -> Source | None:
    """Return a package that is installed here and that no index has; None for any other."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return _source_of(found, None)


@functools.cache
def source_in(interpreter: Interpreter, name: str) -> Source | None:
    """Return a package that an interpreter has installed and that no index has."""
    path = [str(folder) for folder in interpreter.sys_path]
    found = next(iter(importlib.metadata.distributions(name=name, path=path)), None)
    return None if found is None else _source_of(found, path)


def _source_of(found: importlib.metadata.Distribution, path: list[str] | None) -> Source | None:
    """Return a package as a source; its modules lie in `path`, None: where this Python looks."""
    origin = _origin(found)
    if not origin:
        return None
    files = dict(_files(found, path))
    problem = _problem(files)
    return Source(
        name=str(found.metadata["Name"]),
        version=found.version,
        origin=origin,
        files={} if problem else files,
        metadata=_metadata(found),
        tag=_tag(found, files),
        problem=problem,
    )


def _origin(found: importlib.metadata.Distribution) -> str:
    """Return where a package came from, in words; nothing where that may have been an index."""
    try:
        direct: Any = json.loads(found.read_text("direct_url.json") or "null")
    except ValueError:
        direct = None
    if not isinstance(direct, dict):
        return "has a local version, which indexes do not hold" if "+" in found.version else ""
    url = without_secret(str(direct.get("url", "")))
    if "vcs_info" in direct:
        return f"was installed from {direct['vcs_info'].get('vcs', 'version control')} ({url})"
    if (direct.get("dir_info") or {}).get("editable"):
        return f"is installed in editable mode ({url})"
    return f"was installed from {url}"


def _files(
    found: importlib.metadata.Distribution, path: list[str] | None
) -> Iterator[tuple[str, Path]]:
    """Yield name and place of the files of a package, without its metadata."""
    known = False
    for entry in found.files or ():
        place = Path(str(found.locate_file(entry)))
        is_own = not entry.parts[0].endswith((".dist-info", ".egg-info"))
        is_hook = entry.parts[0].startswith("__editable__") or entry.suffix in (".pth", ".pyc")
        if is_own and not is_hook and ".." not in entry.parts and place.is_file():
            known = True
            yield entry.as_posix(), place
    if not known:
        for top in _tops(found):
            yield from _files_of_module(top, path)


def _tops(found: importlib.metadata.Distribution) -> list[str]:
    """Return the top-level modules of a package that is installed by a reference to its source."""
    listed = (found.read_text("top_level.txt") or "").split()
    if listed:
        return listed
    own = str(found.metadata["Name"])
    by_module = importlib.metadata.packages_distributions().items()
    return [module for module, owners in by_module if own in owners] or [re.sub(r"[-.]+", "_", own)]


def _files_of_module(name: str, path: list[str] | None) -> Iterator[tuple[str, Path]]:
    """Yield the files of a top-level module where Python finds it; it is not imported."""
    try:
        finder = importlib.machinery.PathFinder
        spec = importlib.util.find_spec(name) if path is None else finder.find_spec(name, path)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        for place in sorted(Path(folder).rglob("*")):
            inner = PurePosixPath(name, place.relative_to(folder).as_posix())
            is_hidden = any(part.startswith(".") or part == "__pycache__" for part in inner.parts)
            if place.is_file() and not is_hidden and place.suffix != ".pyc":
                yield str(inner), place
    if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        yield Path(spec.origin).name, Path(spec.origin)


def _problem(files: Mapping[str, Path]) -> str:
    if not files:
        return "its files are not here"
    if len(files) > _MAX_FILES or sum(path.stat().st_size for path in files.values()) > MAX_BYTES:
        return "it is too large to be taken along"
    return ""


def _metadata(found: importlib.metadata.Distribution) -> dict[str, str]:
    """Return the files of a package's metadata that belong in its wheel."""
    names = {
        "/".join(entry.parts[1:])
        for entry in found.files or ()
        if entry.parts[0].endswith(".dist-info") and len(entry.parts) > 1
    }
    texts = {name: found.read_text(name) for name in {*names, "METADATA", "entry_points.txt"}}
    kept = {name: text for name, text in texts.items() if text and name not in _LEFT_OUT}
    # What an old setuptools has installed calls it otherwise.
    kept.setdefault("METADATA", found.read_text("PKG-INFO") or "")
    return kept


def _tag(found: importlib.metadata.Distribution, files: Mapping[str, Path]) -> str:
    """Return for which Pythons and platforms the files are."""
    if not any(name.endswith(_COMPILED) for name in files):
        return "py3-none-any"
    tags = re.findall(r"^Tag: (\S+)", found.read_text("WHEEL") or "", re.MULTILINE)
    compiled = [tag for tag in tags if not tag.endswith("-any")]
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    return compiled[0] if compiled else f"{python}-{python}-{platform}"

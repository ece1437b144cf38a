"""What a pickle says about itself, read from its opcodes without executing it. Used by pickles.py.

A pickle is a program; loading it runs code. Only a replica does that. Here its opcodes are run on
names (`pickle_machine.py`), and where that breaks, its bytes are searched.
"""

import bz2
import gzip
import importlib
import io
import lzma
import opcode
import pickletools
import re
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from servd.errors import TargetError
from servd.packing.pickle_machine import Global, Machine, run

_READ_LIMIT: Final = 1 << 30
"""Bytes of a file, after inflating, that are looked at."""
_SEARCH_LIMIT: Final = 64 << 20
"""Bytes that are searched where the opcodes cannot be run to the end."""
_WALK_LIMIT: Final = 400_000
_NEWEST_PROTOCOL: Final = max(code.proto for code in pickletools.opcodes)
"""The newest pickle protocol that this Python reads."""
_HERE: Final = sys.version_info[:2]
ANY_PYTHON: Final = (99, 0)
"""Stands for a Python that is still to be chosen."""
_RESUMES: Final = {(3, 11): 151, (3, 12): 151, (3, 13): 149, (3, 14): 128} | {
    _HERE: opcode.opmap["RESUME"]
}
"""The code that each function holds which a Python has compiled; older ones have none such."""
_NOT_FRAMEWORKS: Final = sys.stdlib_module_names | {"__builtin__", "copy_reg", "__main__"}
_OTHER_FORMATS: Final = (
    (b"PK\x03\x04", "a zip archive (skops, torch or keras?)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x04\x22\x4d\x18", "compressed with lz4, which needs the package lz4 to be read"),
    (b"version https://git-lfs", "a Git LFS pointer; run 'git lfs pull' to get the file itself"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstandard, which cannot be read here"),
)
_MEMO: Final = rb"(?:\x94|q.|r.{4})?"
_VERSION: Final = re.compile(
    rb"_sklearn_version" + _MEMO + rb"(?:\x8c(.)|X(.)\x00\x00\x00)([\w.+]+)", re.DOTALL
)
_FEATURES: Final = re.compile(rb"n_features_in_" + _MEMO + rb"(?:K(.)|M(..)|J(....))", re.DOTALL)
_COLUMNS: Final = "feature_names_in_"
_OWN_TABLES: Final = frozenset({"xgboost", "lightgbm"})
"""They keep the names of columns in a format of their own."""
_NAME: Final = rb"[A-Za-z_][\w.]{0,200}"
_MODULES: Final = re.compile(
    # GLOBAL, and two texts before a STACK_GLOBAL, as pickletools describes them
    rb"c(" + _NAME + rb")\n" + _NAME + rb"\n|"
    rb"\x8c.(" + _NAME + rb")\x94\x8c." + _NAME + rb"\x94?\x93",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PickleScan:
    """What was found. `modules` are dotted names, `frameworks` their first parts; both without
    those of the standard library. `guesses` are modules that are named in what could not be read,
    perhaps by chance. `has_columns` tells whether a model was fitted on a table, as far as is seen,
    `is_complete` whether its opcodes were run to their end.
    """

    protocol: int
    compression: str | None
    modules: tuple[str, ...]
    guesses: tuple[str, ...]
    needs_main: bool
    sklearn_version: str | None
    row_items: int | None
    is_python2: bool
    has_columns: bool = False
    is_complete: bool = True

    @property
    def frameworks(self) -> tuple[str, ...]:
        """The top-level modules."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.modules))


def scan(path: Path, series: tuple[int, int] = _HERE) -> PickleScan:
    """Return what the pickle at `path` says about itself.

    `series` is the Python that is to load it.

    Raises:
        TargetError: the file cannot be read, is not a pickle, or one of another Python.
    """
    try:
        with path.open("rb") as file:
            return _scan(path.name, file, series)
    except OSError as error:
        # Without a number it is bz2's or gzip's complaint, not the system's.
        what = "is damaged" if error.errno is None else "cannot be read"
        raise TargetError(f"{path.name} {what}: {error.strerror or error}") from error
    except (EOFError, zlib.error, lzma.LZMAError, RuntimeError) as error:
        raise TargetError(f"{path.name} is damaged: {error}") from error


def _scan(name: str, file: BinaryIO, series: tuple[int, int]) -> PickleScan:
    opened, compression = _inflated(file)
    _refuse_other_formats(name, opened)
    said = _Said()
    machine, is_complete = run(opened, said.on_global, said.on_item, _WALK_LIMIT)
    is_pickle = is_complete or said.modules or machine.protocol >= 2
    if not machine.steps or not is_pickle:
        raise TargetError(f"{name} is not a pickle", hint="was it written with pickle.dump?")
    _refuse_other_pythons(name, machine, series)
    if not is_complete:
        file.seek(0)
        said.search(_inflated(file)[0].read(_SEARCH_LIMIT))
    tops = {module.partition(".")[0] for module in said.modules}
    return PickleScan(
        protocol=machine.protocol,
        compression=compression,
        modules=_without_pythons(said.modules),
        guesses=_without_pythons(said.guesses),
        needs_main="__main__" in tops,
        sklearn_version=said.sklearn_version,
        row_items=said.row_items,
        is_python2=machine.is_python2,
        has_columns=said.has_columns or not _OWN_TABLES.isdisjoint(tops),
        is_complete=is_complete,
    )


def compression_of(start: bytes) -> str | None:
    """Return what a file is compressed with whose first bytes are these; None of another."""
    if start.startswith(_LZ4):
        return "lz4"
    return _opener(start)[1]


def begins(path: Path, count: int) -> bytes:
    """Return the first bytes of a compressed file, inflated; none of what cannot be inflated."""
    try:
        with path.open("rb") as file:
            return _inflated(file)[0].read(count)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, RuntimeError):
        return b""


def _without_pythons(modules: list[str]) -> tuple[str, ...]:
    return tuple(name for name in modules if name.partition(".")[0] not in _NOT_FRAMEWORKS)


def _inflated(file: BinaryIO) -> tuple[BinaryIO, str | None]:
    """Return what to read a pickle from, and what it is compressed with."""
    start = file.read(6)
    file.seek(0)
    opener, name = _opener(start)
    opened = file if opener is None else opener(file)
    # One that is smaller than its buffer is read once; long arrays are skipped without a copy.
    return _Limited(opened, _READ_LIMIT if opener else None), name  # type: ignore[return-value]


def _opener(start: bytes) -> tuple[Callable[[BinaryIO], Any] | None, str | None]:
    for magics, name, opener in _COMPRESSIONS:
        if start.startswith(magics):
            return opener, name
    if start.startswith(_LZ4):
        with suppress(ImportError):  # without it the file is refused by name
            return importlib.import_module("lz4.frame").LZ4FrameFile, "lz4"
    return None, None


class _ZlibReader(io.RawIOBase):
    """Reads a zlib stream, inflating only as much as is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflater = zlib.decompressobj()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        while not self._inflater.eof:
            waiting = self._inflater.unconsumed_tail or self._file.read(1 << 16)
            content = self._inflater.decompress(waiting, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)
            if not waiting:
                raise EOFError("the compressed data end too early")
        return 0


class _Limited:
    """A file of which only so many bytes are read; None: all."""

    def __init__(self, file: Any, limit: int | None) -> None:
        self._file = file
        self._left = limit

    def read(self, size: int) -> bytes:
        """Return the next bytes; nothing behind the limit."""
        if self._left is not None:
            size = min(size, self._left)
        content: bytes = self._file.read(size)
        if self._left is not None:
            self._left -= len(content)
        return content

    def readline(self) -> bytes:
        """Return the rest of a line, as protocols 0 and 1 have their arguments."""
        line: bytes = self._file.readline(_LINE)
        if self._left is not None:
            self._left -= min(self._left, len(line))
        return line

    def peek(self, size: int) -> bytes:
        """Return the next bytes and leave them there."""
        peeked: bytes = self._file.peek(size)[:size]
        return peeked


_LINE: Final = 1 << 16
_LZ4: Final = b"\x04\x22\x4d\x18"
_COMPRESSIONS: Final[tuple[tuple[tuple[bytes, ...], str, Callable[[BinaryIO], Any]], ...]] = (
    (
        (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),
        "zlib",
        lambda file: io.BufferedReader(_ZlibReader(file)),
    ),
    ((b"\x1f\x8b",), "gzip", lambda file: gzip.GzipFile(fileobj=file)),
    ((b"BZh",), "bz2", bz2.BZ2File),
    ((b"\xfd7zXZ", b"\x5d\x00\x00"), "lzma", lzma.LZMAFile),
)
"""How joblib compresses, by the first bytes of a file."""


def _refuse_other_formats(name: str, file: BinaryIO) -> None:
    content: bytes = file.peek(32)  # type: ignore[attr-defined]
    if not content:
        raise TargetError(f"{name} is empty")
    for magic, what in _OTHER_FORMATS:
        if content.startswith(magic):
            raise TargetError(f"{name} is not a pickle: it is {what}")


def _refuse_other_pythons(name: str, machine: Machine, series: tuple[int, int]) -> None:
    """Refuse what only another version of Python can load or run."""
    here = ".".join(map(str, series))
    if machine.protocol > _NEWEST_PROTOCOL:
        raise TargetError(
            f"{name} was written by a newer Python (pickle protocol {machine.protocol}); "
            f"Python {here} reads up to {_NEWEST_PROTOCOL}",
            hint=f"write it with pickle.dump(model, file, protocol={_NEWEST_PROTOCOL})",
        )
    if machine.code is not None and not _runs(machine.code, series):
        raise TargetError(
            f"{name} holds a function compiled by another Python; this is {here}",
            hint=f"write it again with Python {here}, deploy the .py file of the function, or have "
            "it run in the Python that wrote it: --python VERSION",
        )


def _runs(code: bytes, series: tuple[int, int]) -> bool:
    """Tell whether a Python may have compiled the code of a function, as far as that is known."""
    if series > max(_RESUMES):
        return True
    expected = _RESUMES.get(series)
    if expected is not None:
        return bytes((expected, 0)) in code
    return not any(bytes((each, 0)) in code for each in set(_RESUMES.values()))


@dataclass(slots=True)
class _Said:
    """What is heard of a pickle; of a thing that is said twice the first counts."""

    modules: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    sklearn_version: str | None = None
    row_items: int | None = None
    has_columns: bool = False

    def on_global(self, found: Global) -> None:
        """Hear of a class or function."""
        if found.module and found.module not in self.modules:
            self.modules.append(found.module)

    def on_item(self, key: str, value: Any) -> None:
        """Hear of a text and what follows it."""
        if key == "_sklearn_version" and isinstance(value, str):
            self.sklearn_version = self.sklearn_version or value
        elif key == "n_features_in_" and type(value) is int:
            self.row_items = self.row_items or value
        self.has_columns |= key == _COLUMNS

    def search(self, content: bytes) -> None:
        """Find in the bytes what the opcodes did not reach."""
        names = {(found[1] or found[2]).decode() for found in _MODULES.finditer(content)}
        self.guesses = sorted(names.difference(self.modules))
        version = _VERSION.search(content)
        if self.sklearn_version is None and version:
            length = (version[1] or version[2])[0]
            self.sklearn_version = version[3][:length].decode()
        features = _FEATURES.search(content)
        if self.row_items is None and features:
            self.row_items = int.from_bytes(next(filter(None, features.groups())), "little")
        self.has_columns |= _COLUMNS.encode() in content

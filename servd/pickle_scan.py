"""What a pickle says about itself, read from its opcodes without executing it. Used by bundling.py.

A pickle is a program; loading it runs code. Only a replica does that. Here its opcodes are walked
(`pickletools`), and where raw arrays break the walk (joblib), its bytes are searched.
"""

import bz2
import gzip
import lzma
import opcode
import pickletools
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from servd.errors import TargetError

_READ_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a file, after inflating, that are looked at: what matters stands before the arrays."""
_WALK_LIMIT: Final = 200_000
_PYTHON_2_STRINGS: Final = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING"})
"""Opcodes that only Python 2 writes."""
_NEWEST_PROTOCOL: Final = max(code.proto for code in pickletools.opcodes)
"""The newest pickle protocol that this Python reads."""
_BYTES: Final = frozenset({"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"})
_RESUME: Final = bytes((opcode.opmap["RESUME"], 0))
"""What each function compiled by this Python holds; the number changes between versions of it."""
_PUSHED: Final = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_INTEGERS: Final = frozenset({"BININT1", "BININT2", "BININT", "INT", "LONG1"})
_NOT_FRAMEWORKS: Final = sys.stdlib_module_names | {"__builtin__", "copy_reg", "__main__"}
_OTHER_FORMATS: Final = (
    (b"PK\x03\x04", "a zip archive (skops, torch or keras?)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x04\x22\x4d\x18", "compressed with lz4, which cannot be read here"),
    (b"version https://git-lfs", "a Git LFS pointer; run 'git lfs pull' to get the file itself"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstandard, which cannot be read here"),
)
_MEMO: Final = rb"(?:\x94|q.|r.{4})?"
_VERSION: Final = re.compile(
    rb"_sklearn_version" + _MEMO + rb"(?:\x8c(.)|X(.)\x00\x00\x00)([\w.+]+)", re.DOTALL
)
_FEATURES: Final = re.compile(rb"n_features_in_" + _MEMO + rb"(?:K(.)|M(..)|J(....))", re.DOTALL)
_MODULES: Final = re.compile(
    rb"(?:\x8c.|X.\x00\x00\x00|c)(sklearn|xgboost|lightgbm|catboost|torch|pandas|scipy|numpy)[.\n\x94]",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PickleScan:
    """What was found. `frameworks` are top-level modules outside the standard library."""

    protocol: int
    compression: str | None
    frameworks: tuple[str, ...]
    needs_main: bool
    sklearn_version: str | None
    row_items: int | None
    is_python2: bool

    @property
    def is_joblib(self) -> bool:
        """Whether only joblib can load it."""
        return self.compression is not None or "joblib" in self.frameworks


def scan(path: Path) -> PickleScan:
    """Return what the pickle at `path` says about itself.

    Raises:
        TargetError: the file cannot be read or is not a pickle.
    """
    try:
        with path.open("rb") as file:
            compression, content = _inflate(file)
    except OSError as error:
        # Without a number it is bz2's or gzip's complaint, not the system's.
        what = "is damaged" if error.errno is None else "cannot be read"
        raise TargetError(f"{path.name} {what}: {error.strerror or error}") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise TargetError(f"{path.name} is damaged: {error}") from error
    _refuse_other_formats(path.name, content)
    walk = _Walk()
    is_complete = walk.run(content)
    if not walk.steps or not (is_complete or walk.modules or walk.protocol >= 2):
        raise TargetError(f"{path.name} is not a pickle", hint="was it written with pickle.dump?")
    _refuse_other_pythons(path.name, walk)
    if not is_complete:
        walk.search(content)
    tops = dict.fromkeys(name.partition(".")[0] for name in walk.modules)
    return PickleScan(
        protocol=walk.protocol,
        compression=compression,
        frameworks=tuple(name for name in tops if name and name not in _NOT_FRAMEWORKS),
        needs_main="__main__" in tops,
        sklearn_version=walk.sklearn_version,
        row_items=walk.row_items,
        is_python2=walk.is_python2,
    )


def _inflate(file: BinaryIO) -> tuple[str | None, bytes]:
    start = file.read(6)
    file.seek(0)
    if start[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        return "zlib", zlib.decompressobj().decompress(file.read(_READ_LIMIT), _READ_LIMIT)
    opener, name = _opener(start)
    if opener is None:
        return None, file.read(_READ_LIMIT)
    with opener(file) as inflated:
        content: bytes = inflated.read(_READ_LIMIT)
        return name, content


def _opener(start: bytes) -> tuple[Callable[[BinaryIO], Any] | None, str | None]:
    if start.startswith(b"\x1f\x8b"):
        return lambda file: gzip.GzipFile(fileobj=file), "gzip"
    if start.startswith(b"BZh"):
        return bz2.BZ2File, "bz2"
    if start.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        return lzma.LZMAFile, "lzma"
    return None, None


def _refuse_other_formats(name: str, content: bytes) -> None:
    if not content:
        raise TargetError(f"{name} is empty")
    for magic, what in _OTHER_FORMATS:
        if content.startswith(magic):
            raise TargetError(f"{name} is not a pickle: it is {what}")


def _refuse_other_pythons(name: str, walk: "_Walk") -> None:
    """Refuse what only another version of Python can load or run."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if walk.protocol > _NEWEST_PROTOCOL:
        raise TargetError(
            f"{name} was written by a newer Python (pickle protocol {walk.protocol}); "
            f"Python {here} reads up to {_NEWEST_PROTOCOL}",
            hint=f"write it with pickle.dump(model, file, protocol={_NEWEST_PROTOCOL})",
        )
    if walk.code is not None and _RESUME not in walk.code:
        raise TargetError(
            f"{name} holds a function compiled by another Python; this is {here}",
            hint=f"write it again with Python {here}, or deploy the .py file of the function",
        )


@dataclass(slots=True)
class _Walk:
    """One pass over the opcodes. `_pushed` holds the last strings that were put on the stack.

    `code` is the bytecode of the first function that is in the pickle itself, as cloudpickle does.
    """

    protocol: int = 0
    steps: int = 0
    modules: list[str] = field(default_factory=list)
    sklearn_version: str | None = None
    row_items: int | None = None
    is_python2: bool = False
    code: bytes | None = None
    _is_code_next: bool = False
    _memo: dict[int, str] = field(default_factory=dict)
    _pushed: list[str] = field(default_factory=lambda: ["", ""])
    _key: str = ""

    def run(self, content: bytes) -> bool:
        """Walk until the end and return True, or False where the walk broke or was cut."""
        try:
            for opcode, argument, _ in pickletools.genops(content):
                self.steps += 1
                self._on_opcode(opcode.name, argument)
                if self.steps > _WALK_LIMIT:
                    return False
        except (ValueError, KeyError, IndexError, OverflowError, UnicodeError):
            return False
        return True

    def _on_opcode(self, name: str, argument: Any) -> None:
        if name in _PUSHED:
            self._on_string(argument)
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._push(self._memo.get(int(argument), ""))
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._pushed[-1]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = self._pushed[-1]
        else:
            self._on_other(name, argument)

    def _on_other(self, name: str, argument: Any) -> None:
        if name == "STACK_GLOBAL":
            self.modules.append(self._pushed[-2])
            self._push("")
        elif name in ("GLOBAL", "INST"):
            self.modules.append(argument.partition(" ")[0])
            self._push("")
        elif name == "PROTO":
            self.protocol = argument
        elif name in _INTEGERS and self._key == "n_features_in_":
            self.row_items = self.row_items or argument
            self._push("")
        elif name in _PYTHON_2_STRINGS:
            self.is_python2 = True
        elif name in _BYTES and self._is_code_next and self.code is None:
            self.code = argument

    def _on_string(self, text: str) -> None:
        if self._key == "_sklearn_version":
            self.sklearn_version = self.sklearn_version or text
        self._is_code_next = self._is_code_next or text == "CodeType"
        self._push(text)

    def _push(self, text: str) -> None:
        self._pushed = [self._pushed[-1], text]
        self._key = text

    def search(self, content: bytes) -> None:
        """Find in the bytes what a broken walk did not reach."""
        self.modules.extend(dict.fromkeys(found.decode() for found in _MODULES.findall(content)))
        version = _VERSION.search(content)
        if self.sklearn_version is None and version:
            length = (version[1] or version[2])[0]
            self.sklearn_version = version[3][:length].decode()
        features = _FEATURES.search(content)
        if self.row_items is None and features:
            self.row_items = int.from_bytes(next(filter(None, features.groups())), "little")


_DISTRIBUTIONS: Final = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "yaml": "pyyaml",
}


def distribution(module: str) -> str:
    """Return the name under which a top-level module is installed."""
    return _DISTRIBUTIONS.get(module, module)

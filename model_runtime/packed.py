"""Which msgpack packs and unpacks: the library's, or messagepack.py where none is to be had.

In an interpreter that is not servd's own nothing of the model's environment counts: it may have any
version of the library, or a file of its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from zipimport import zipimporter

from model_runtime import messagepack

IS_FOREIGN: Final = __spec__ is not None and isinstance(__spec__.loader, zipimporter)
"""Whether this runs where nothing of servd is installed (zipped.py)."""


def _found() -> tuple[Callable[[Any], bytes], Callable[[bytes | memoryview], Any]]:
    """Return what packs, and what unpacks."""
    if IS_FOREIGN:
        return messagepack.pack, messagepack.unpack
    try:
        import msgpack  # noqa: PLC0415 - where it is
    except ImportError:
        return messagepack.pack, messagepack.unpack
    # One packer is kept because making one costs more than packing.
    return msgpack.Packer(autoreset=True).pack, msgpack.unpackb


pack, unpack = _found()

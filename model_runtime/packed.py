"""Which msgpack packs and unpacks: the library's, or messagepack.py where none can be had.

In an interpreter that is not servd's own nothing of the model's environment counts: it may have any
version, or a file of that name. zipped.py hands servd's own library over where it can be used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from zipimport import zipimporter

from model_runtime import messagepack

HANDED_OVER: Final = "servd_msgpack"
"""As what the library is known that zipped.py has found."""
IS_FOREIGN: Final = isinstance(__spec__.loader, zipimporter)
"""Whether this runs in an interpreter in which nothing of servd is installed."""


def _found() -> tuple[Callable[[Any], bytes], Callable[[bytes | memoryview], Any]]:
    """Return what packs, and what unpacks."""
    try:
        if IS_FOREIGN:
            import servd_msgpack as msgpack  # noqa: PLC0415
        else:
            import msgpack  # noqa: PLC0415
    except ImportError:
        return messagepack.pack, messagepack.unpack
    # One packer is kept because making one costs more than packing.
    return msgpack.Packer(autoreset=True).pack, msgpack.unpackb


pack, unpack = _found()

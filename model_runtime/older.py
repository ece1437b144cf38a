"""What Python 3.9 lacks of later ones, as far as a replica needs it everywhere.

To be imported in place of Python's own, which it is where Python has it.
"""

from __future__ import annotations

import hashlib
import sys
import typing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self as Self

if sys.version_info >= (3, 10):
    from builtins import anext as anext
    from builtins import zip as zip
    from dataclasses import dataclass as dataclass
    from os import eventfd as eventfd
    from os import eventfd_read as eventfd_read
    from os import eventfd_write as eventfd_write
    from types import UnionType as UnionType

    def is_new_type(annotation: object) -> bool:
        """Tell whether something was made by NewType."""
        return isinstance(annotation, typing.NewType)
else:
    import builtins
    import dataclasses
    import os
    import struct

    _END = object()
    UnionType = typing.Union

    def is_new_type(annotation):
        """Tell whether something was made by NewType."""
        return callable(annotation) and hasattr(annotation, "__supertype__")

    def anext(items):
        """Return what gives the next item of an asynchronous iterator."""
        return items.__anext__()

    def zip(*columns, strict=False):
        """Return tuples of items; with `strict`, all columns have as many."""
        return _strictly(columns) if strict else builtins.zip(*columns)

    def _strictly(columns):
        iterators = [iter(each) for each in columns]
        while iterators:
            row = tuple(next(each, _END) for each in iterators)
            if all(item is _END for item in row):
                return
            if any(item is _END for item in row):
                raise ValueError("zip() arguments differ in length")
            yield row

    def dataclass(cls=None, *, slots=False, kw_only=False, **settings):
        """Make a class one of fields; it has no slots, and takes fields by place too."""
        del slots

        def made(cls):
            if kw_only:
                # Nobody counts on the order of fields that are named.
                own = cls.__dict__.get("__annotations__", {})
                needed = {name: each for name, each in own.items() if not hasattr(cls, name)}
                cls.__annotations__ = {**needed, **own}
            return dataclasses.dataclass(cls, **settings)

        return made if cls is None else made(cls)

    def eventfd(count, flags):
        """Return a descriptor that is readable while what was written to it was not read."""
        import ctypes  # noqa: PLC0415 - not every Python was built with it

        made = ctypes.CDLL(None, use_errno=True).eventfd(count, flags)
        if made < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return made

    def eventfd_read(descriptor):
        """Return and take back what was written to it."""
        return struct.unpack("Q", os.read(descriptor, 8))[0]

    def eventfd_write(descriptor, count):
        """Make it readable."""
        os.write(descriptor, struct.pack("Q", count))


if sys.version_info >= (3, 11):
    from hashlib import file_digest as file_digest
else:
    _READ_BYTES = 1 << 18

    def file_digest(file, name):
        """Return the digest of an open file."""
        digest = hashlib.new(name)
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
        return digest

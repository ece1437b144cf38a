"""What is looked at of a file or folder to tell what it is: no more than is bounded.

Used by formats. A file of any size costs its head, its tail, and, of a zip, its list of names.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

from servd.errors import TargetError
from servd.packing import pickle_scan

HEAD_BYTES: Final = 1 << 16
_TAIL_BYTES: Final = (1 << 16) + 22
"""The end of a zip, with the longest comment that it may have."""
_MOST_NAMES_BYTES: Final = 8 << 20
_MOST_ENTRIES: Final = 10_000
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_END: Final = b"PK\x05\x06"
_BIG: Final = 0xFFFFFFFF
_BIG_END: Final = b"PK\x06\x06"
"""The end of a zip of which a size has more than 32 bits (zip64), which lies before the other."""
_UNSOUND: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Peek:
    """Looks at one path; what was looked at is kept.

    Everything raises TargetError where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """What it is called, for messages."""
        return self.path.name

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @cached_property
    def size(self) -> int:
        """The bytes of the file."""
        with self._reading():
            return self.path.stat().st_size

    @cached_property
    def head(self) -> bytes:
        """What the file begins with; empty of a folder."""
        if self.is_folder:
            return b""
        with self._reading():
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise TargetError(f"{self.name} is not a file")
            with self.path.open("rb") as file:
                return file.read(HEAD_BYTES)

    @cached_property
    def compression(self) -> str | None:
        """What the file as a whole is compressed with, by one of joblib's ways."""
        return pickle_scan.compression_of(self.head)

    @cached_property
    def inflated_head(self) -> bytes:
        """What the file begins with; of a compressed one what is in it, as far as it can be."""
        if self.compression is None:
            return self.head
        return pickle_scan.begins(self.path, HEAD_BYTES)

    @cached_property
    def tail(self) -> bytes:
        """What the file ends with."""
        if self.is_folder:
            return b""
        with self._reading(), self.path.open("rb") as file:
            file.seek(max(0, self.size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES)

    def content(self) -> bytes:
        """Return all of the file; its `size` is to be looked at before."""
        with self._reading():
            return self.path.read_bytes()

    @cached_property
    def entries(self) -> tuple[Path, ...]:
        """The files and folders of a folder, sorted; the first ones of very many."""
        with self._reading():
            return tuple(sorted(islice(self.path.iterdir(), _MOST_ENTRIES)))

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip, damaged or not."""
        return self.head.startswith((_ZIP, _EMPTY_ZIP))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in a zip; none of what is no sound zip."""
        if not self.is_zip or not self._is_listed():
            return ()
        try:
            with zipfile.ZipFile(self.path) as archive:
                return tuple(archive.namelist())
        except (*_UNSOUND, OSError, ValueError):
            return ()

    def _is_listed(self) -> bool:
        """Tell whether a zip has its list of names, and one that is not too long to be read."""
        at = self.tail.rfind(_END)
        if at < 0 or at + 22 > len(self.tail):
            return False
        # One that was cut off may end within a zip that lies in it, whose list is not its own.
        if at + 22 + int.from_bytes(self.tail[at + 20 : at + 22], "little") != len(self.tail):
            return False
        bytes_of_list = int.from_bytes(self.tail[at + 12 : at + 16], "little")
        if bytes_of_list == _BIG and (at := self.tail.rfind(_BIG_END)) >= 0:
            bytes_of_list = int.from_bytes(self.tail[at + 40 : at + 48], "little")
        return bytes_of_list <= _MOST_NAMES_BYTES

    def member(self, name: str, most_bytes: int) -> bytes:
        """Return a file of a zip, inflated.

        Raises:
            TargetError: it is not there, is damaged, or has more than `most_bytes`.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                content = file.read(most_bytes + 1)
        except KeyError as error:
            raise TargetError(f"{self.name} is damaged: it has no {name}") from error
        except (*_UNSOUND, OSError, ValueError) as error:
            raise TargetError(f"{self.name} is damaged: {error}") from error
        if len(content) > most_bytes:
            raise TargetError(
                f"{self.name} is damaged: its {name} has more than {most_bytes} bytes"
            )
        return content

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TargetError(f"{self.name} cannot be read: {error.strerror}") from error

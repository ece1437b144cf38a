"""The tar of a bundle, made while it is sent: nothing of a model's size is written for it.

Used by the CLI, which sends the user's files, and by http/admin/api.py.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from model_runtime.bundle import digest_of_members, member_of, members_of
from servd.errors import BundleError

CHUNK_BYTES: Final = 1 << 20
_ENCODING: Final = "utf-8"
_END: Final = 2 * tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Packed:
    """The files of a bundle: name, size, and where they lie or what they hold; sorted by name.

    Equal files give equal bytes.
    """

    members: tuple[tuple[str, int, Path | bytes], ...]

    @classmethod
    def of(cls, members: Iterable[tuple[str, Path | bytes]]) -> Self:
        """Return the bundle of these files.

        Raises:
            OSError: a file cannot be read.
        """
        return cls(
            tuple((name, _size(source), source) for name, source in sorted(members, key=_key))
        )

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Return the bundle that lies in a folder.

        Raises:
            BundleFormatError: it is none.
        """
        return cls.of(members_of(folder))

    def digest(self) -> str:
        """Return the bundle's digest; reads every file.

        Raises:
            OSError: a file cannot be read.
        """
        return digest_of_members((name, source) for name, _, source in self.members)

    @property
    def size(self) -> int:
        """The bytes of the tar."""
        return _padded(self._content_bytes() + _END, tarfile.RECORDSIZE)

    def chunks(self) -> Iterator[bytes]:
        """Yield the tar.

        Raises:
            OSError: a file cannot be read.
            BundleError: a file has another size than when this was made.
        """
        for name, size, source in self.members:
            yield _header(name, size)
            yield from [source] if isinstance(source, bytes) else _read(source, size)
            yield bytes(_padded(size, tarfile.BLOCKSIZE) - size)
        yield bytes(self.size - self._content_bytes())

    def _content_bytes(self) -> int:
        return sum(
            len(_header(name, size)) + _padded(size, tarfile.BLOCKSIZE)
            for name, size, _ in self.members
        )


def _key(member: tuple[str, Path | bytes]) -> str:
    return member[0]


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _header(name: str, size: int) -> bytes:
    return member_of(name, size).tobuf(tarfile.PAX_FORMAT, _ENCODING, "surrogateescape")


def _padded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _read(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
        if left or file.read(1):
            raise BundleError(f"{path} was changed while it was sent", hint="try again")

"""Bundles: the folder a replica loads, its digest, and the tar it travels in.

The CLI packs, the daemon unpacks and checks; nothing here runs or reads what is inside.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from model_runtime.older import file_digest

if TYPE_CHECKING:
    from model_runtime.older import Self

MANIFEST_NAME: Final = "model.json"
FILES_NAME: Final = "files"
LOCK_NAME: Final = "environment.lock"
"""The requirements that a bundle's environment is made of, where it has one of its own."""
_BESIDE_FILES: Final = (MANIFEST_NAME, LOCK_NAME)
_CHUNK: Final = 1 << 20
_MAX_MEMBERS: Final = 20_000
_MAX_PATH_BYTES: Final = 1000
_MAX_NAME_BYTES: Final = 255
_MAX_EXTENSION_BYTES: Final = 8192
_EXTENSIONS: Final = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_DIGEST_LETTERS: Final = 32
_CACHE_FOLDER: Final = "__pycache__"


class BundleFormatError(ValueError):
    """A bundle, or the tar of one, is not what it must be; the message says what is wrong."""


def digest_of(folder: Path) -> str:
    """Return the first 32 hex characters of the SHA-256 over all paths and contents.

    Compiled files (`__pycache__`) do not count: a replica may write them later.

    Raises:
        BundleFormatError: the folder holds a link, a device, or no files.
    """
    return digest_of_members(members_of(folder))


def digest_of_members(members: Iterable[tuple[str, Path | bytes]]) -> str:
    """Return the digest of a bundle whose files lie anywhere: names, sorted, with paths or content.

    Raises:
        OSError: a file cannot be read.
    """
    total = hashlib.sha256()
    for name, source in members:
        # Both parts have a known end, so no two bundles give the same stream.
        total.update(name.encode() + b"\0" + _content_digest(source))
    return total.hexdigest()[:_DIGEST_LETTERS]


def _content_digest(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    with source.open("rb") as file:
        return file_digest(file, "sha256").digest()


def member_of(name: str, size: int) -> tarfile.TarInfo:
    """Return the header of a file of a bundle."""
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member


def members_of(folder: Path) -> list[tuple[str, Path]]:
    """Return the relative name and path of every file of a bundle, sorted by name.

    Raises:
        BundleFormatError: the folder holds a link, a device, or no files.
    """
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleFormatError(f"'{relative}' is a link or a device: a bundle has files only")
        if path.is_file() and _CACHE_FOLDER not in relative.parts:
            found.append((relative.as_posix(), path))
    if not found:
        raise BundleFormatError(f"'{folder}' holds no files")
    return sorted(found)


class _Header(tarfile.TarInfo):
    """A header of which not much is read: tarfile reads one that extends another whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header in a block; called by tarfile for each, before it reads what follows.

        Raises:
            BundleFormatError: it extends another header by more than any path needs.
        """
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENSIONS and header.size > _MAX_EXTENSION_BYTES:
            raise BundleFormatError(
                f"a header in the bundle has {header.size} bytes, more than {_MAX_EXTENSION_BYTES}"
            )
        return header


def unpack(source: IO[bytes], folder: Path, max_bytes: int) -> None:
    """Write the files of a bundle's tar into `folder`, which is made if it is missing.

    On an error some files may have been written: unpack into a folder that can be thrown away.

    Raises:
        BundleFormatError: the tar is damaged, holds more than `max_bytes`, or has a member that
            is not a plain file at a relative path inside a bundle.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=source, mode="r|", tarinfo=_Header) as archive:
            _unpack_members(archive, folder, max_bytes, seen)
    except BundleFormatError:
        raise
    except (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError) as error:
        # tarfile recurses on chained extended headers, hence RecursionError.
        raise BundleFormatError(f"the bundle is not a sound tar file: {error}") from error
    if MANIFEST_NAME not in seen:
        raise BundleFormatError(f"the bundle has no {MANIFEST_NAME}")


def _unpack_members(archive: tarfile.TarFile, folder: Path, max_bytes: int, seen: set[str]) -> None:
    """Check and write each member; `seen` collects the names of files."""
    left = max_bytes
    for index, member in enumerate(archive):
        if index >= _MAX_MEMBERS:
            raise BundleFormatError(f"the bundle has more than {_MAX_MEMBERS} files")
        path = _checked_path(member)
        if member.isdir():
            continue
        left -= member.size
        if left < 0:
            raise BundleFormatError(f"the bundle holds more than {max_bytes} bytes")
        if member.name in seen:
            raise BundleFormatError(f"'{member.name}' is in the bundle twice")
        seen.add(member.name)
        _write_member(archive, member, folder / path)


def _checked_path(member: tarfile.TarInfo) -> PurePosixPath:
    """Return the path of a member, or refuse it."""
    name = member.name
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        raise BundleFormatError(f"{name!r} is a link or a device: a bundle has files only")
    path = PurePosixPath(name)
    is_canonical = path.as_posix() == name and not path.is_absolute() and ".." not in path.parts
    if not is_canonical or not name.isprintable() or _CACHE_FOLDER in path.parts:
        raise BundleFormatError(f"{name!r} is not a path that a bundle may hold")
    is_inside = path.parts[0] == FILES_NAME and (len(path.parts) > 1 or member.isdir())
    if not is_inside and (name not in _BESIDE_FILES or member.isdir()):
        known = ", ".join(_BESIDE_FILES)
        raise BundleFormatError(f"{name!r} is none of {known}, nor below {FILES_NAME}/")
    longest = max(len(part.encode()) for part in path.parts)
    if longest > _MAX_NAME_BYTES or len(name.encode()) > _MAX_PATH_BYTES:
        raise BundleFormatError(f"the path '{name[:60]}…' is too long")
    return path


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write one file, all of it or an error."""
    content = archive.extractfile(member)
    if content is None:
        raise BundleFormatError(f"'{member.name}' has no content")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BundleFormatError(f"'{member.name}' is both a file and a folder") from error
    left = member.size
    with target:
        while left and (chunk := content.read(min(left, _CHUNK))):
            target.write(chunk)
            left -= len(chunk)
    if left:
        raise BundleFormatError(f"the bundle ends in the middle of '{member.name}'")

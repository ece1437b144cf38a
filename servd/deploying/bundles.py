"""The deployed files, one folder a digest. Used by http/admin/api.py (uploads) and deployer.py.

Nothing here runs or unpickles what it stores. A folder appears under its digest only when it is
complete and its content has that digest; replicas run on copies of it (model_runtime/workspace.py).
What no version uses goes to the trash, from where it comes back when it is asked for again, and is
deleted after a day.
"""

import asyncio
import os
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO

from model_runtime.bundle import BundleFormatError, digest_of, unpack
from model_runtime.manifest import Manifest, read
from servd.deploying.trash import Trash
from servd.deploying.upload import Upload
from servd.errors import BundleError, NotFoundError, StoreError
from servd.logs.log import log
from servd.packing.archive import Packed

MAX_BYTES = 16 * 1024**3
_DIGEST_CHARACTERS = frozenset("0123456789abcdef")
_DIGEST_LENGTH = 32
_INCOMING = "incoming."
_CHUNK_BYTES = 1024**2
_SPARE_BYTES = 8 * 1024**2


class BundleStore:
    """A folder of bundles. `max_bytes` limits one bundle, packed and unpacked.

    `trash` is by default the folder of that name beside it.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int = MAX_BYTES, trash: Trash | None = None
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._trash = trash or Trash(folder.with_name("trash"))
        self._pins: Counter[str] = Counter()
        self._unused: frozenset[str] = frozenset()
        self._seals: dict[str, _Seal] = {}

    def has(self, digest: str) -> bool:
        """Return whether that bundle is here. Called for HEAD /bundles/{digest}."""
        if not _is_digest(digest):
            return False
        path = self.path(digest)
        return path.is_dir() or self._trash.give_back(path)

    async def is_sound(self, digest: str) -> bool:
        """Return whether that bundle is here, with the content that its digest says.

        One with another content is set aside, so that it is uploaded again.
        """
        return await asyncio.to_thread(self._is_sound, digest)

    def count(self) -> int:
        """Return how many bundles there are."""
        return len(self._digests())

    def path(self, digest: str) -> Path:
        """Return the folder of a bundle, which a replica loads."""
        return self._folder / digest

    async def add(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Store an uploaded tar; return False if its bundle was here already.

        Raises:
            BundleError: it is too large, not a safe tar, or its content has another digest.
            StoreError: the disk does not take it.
        """
        if not _is_digest(digest):
            raise BundleError(f"'{digest}' is not a bundle's digest")
        if await self.is_sound(digest):
            return False
        incoming = self._folder / f"{_INCOMING}{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            upload = Upload(chunks, self._max_bytes, self._make_room)
            await upload.run(lambda source: self._unpack(source, incoming, digest))
        except OSError as error:
            raise StoreError(
                f"the bundle cannot be stored in {self._folder}: {error.strerror}; "
                "nothing was changed",
                hint="is the disk full or read-only?",
            ) from error
        finally:
            with suppress(OSError):  # a disk that takes nothing gives nothing up either
                await asyncio.to_thread(_discard, incoming)
        return True

    async def manifest(self, digest: str) -> Manifest:
        """Return the model.json of a bundle.

        Raises:
            BundleError: there is no such bundle, or its manifest is not one.
        """
        if not await self.is_sound(digest):
            raise BundleError(
                f"bundle '{digest}' was not uploaded, or was changed since",
                hint="servd deploy uploads it",
            )
        return await asyncio.to_thread(read_manifest, self.path(digest))

    @asynccontextmanager
    async def packed(self, digest: str) -> AsyncIterator[Packed]:
        """Yield the tar of a bundle, which is kept meanwhile. Called for downloads.

        Raises:
            NotFoundError: there is no such bundle.
        """
        if not await self.is_sound(digest):
            raise NotFoundError(f"there is no bundle '{digest}'")
        with self.pinned(digest):
            yield await asyncio.to_thread(Packed.of_folder, self.path(digest))

    async def remove(self, digest: str) -> None:
        """Throw away a bundle that no version uses, unless a deployment needs it right now."""
        if not self._pins[digest] and _is_digest(digest) and self.path(digest).is_dir():
            await asyncio.to_thread(self._trash.take, self.path(digest))

    async def missing(self, used: Collection[str | None]) -> set[str]:
        """Return which of these are not here, also not in the trash."""
        wanted = {digest for digest in used if digest is not None}
        return {digest for digest in wanted if not await asyncio.to_thread(self.has, digest)}

    async def collect(self, used: Collection[str | None]) -> None:
        """Throw away all bundles but those in use, and half uploads.

        Called at the daemon's start, for a registry that is known to be whole.
        """
        await asyncio.to_thread(self._collect, frozenset(used))

    async def sweep(self, used: Collection[str | None]) -> None:
        """Throw away the bundles that were not in use at the last call either; tidy the trash.

        Called every few minutes: who uploads a bundle deploys it meanwhile.
        """
        unused = self._digests() - {digest for digest in used if digest is not None}
        for digest in sorted(unused & self._unused):
            await self.remove(digest)
        self._unused = frozenset(unused)
        await asyncio.to_thread(self._trash.tidy)

    @contextmanager
    def pinned(self, digest: str) -> Iterator[None]:
        """Keep a bundle while a deployment of it goes on."""
        self._pins[digest] += 1
        try:
            yield
        finally:
            self._pins[digest] -= 1

    def _unpack(self, source: IO[bytes], into: Path, digest: str) -> None:
        try:
            unpack(source, into, self._max_bytes)
            while source.read(_CHUNK_BYTES):
                pass  # what follows the tar counts too
            found = digest_of(into)
            read(into)
        except BundleFormatError as error:
            raise BundleError(str(error)) from error
        if found != digest:
            raise BundleError(f"the bundle's content has the digest {found}, not {digest}")
        _sync(into)
        _close(into)
        try:
            into.rename(self.path(digest))
        except OSError:
            if not self.has(digest):  # else another upload of the same was first
                raise

    def _make_room(self) -> None:
        """Empty the trash where the disk is nearly full. Called before each piece of an upload."""
        if shutil.disk_usage(self._folder).free < _SPARE_BYTES:
            self._trash.empty()

    def _is_sound(self, digest: str) -> bool:
        if not self.has(digest):
            return False
        path = self.path(digest)
        seal = _seal(path)
        if self._seals.get(digest) == seal:
            return True
        try:
            verify(path, digest)
        except BundleError as error:
            log.error("%s: it is set aside, servd deploy uploads it again", error.message)
            self._seals.pop(digest, None)
            self._trash.take(path, f"changed.{digest}")
            return False
        self._seals[digest] = seal
        return True

    def _collect(self, used: frozenset[str | None]) -> None:
        for digest in sorted(self._digests()):
            if digest not in used and not self._pins[digest]:
                log.info("throwing away the unused bundle %s", digest)
                self._trash.take(self.path(digest))
        for path in self._folder.glob(f"{_INCOMING}*"):
            _discard(path)
        self._trash.tidy()

    def _digests(self) -> set[str]:
        if not self._folder.is_dir():
            return set()
        return {path.name for path in self._folder.iterdir() if _is_digest(path.name)}


_Seal = tuple[tuple[str, int, int, int, int], ...]
"""What changes with any write to a bundle: names, inodes, sizes and times of its files."""


def _seal(folder: Path) -> _Seal:
    found = []
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        name = path.relative_to(folder).as_posix()
        found.append((name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)


def verify(folder: Path, digest: str) -> None:
    """Raise BundleError where a bundle's folder does not hold what its digest says.

    Called before something is made of it that outlives it: an image, an export, a version.
    """
    try:
        found = digest_of(folder)
    except (BundleFormatError, OSError) as error:
        raise BundleError(f"the bundle in {folder} cannot be read: {error}") from error
    if found != digest:
        raise BundleError(
            f"the files in {folder} are not those that were deployed: their digest is {found}",
            hint="something has written there; deploy the model again",
        )


def _close(folder: Path) -> None:
    """Take the right to write from a bundle's files: nothing changes them but who means to."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o400)


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST_LENGTH and _DIGEST_CHARACTERS.issuperset(text)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a bundle, or raise BundleError where it is none."""
    try:
        return read(folder)
    except BundleFormatError as error:
        raise BundleError(str(error)) from error


def _discard(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            # Out of the way first: a half removed folder must never pass for a bundle.
            trash = path.with_name(f"{_INCOMING}{secrets.token_hex(8)}")
            os.replace(path, trash)  # noqa: PTH105
            shutil.rmtree(trash, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Put a folder's files on the disk: the registry will promise them, also after a power cut."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

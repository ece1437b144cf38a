"""An upload as a file that a thread reads while it arrives. Used by bundles.py.

So it is unpacked as it comes, and takes no more room than what is in it.
"""

import asyncio
import concurrent.futures
import io
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any, Final, TypeVar, cast

from servd.errors import BundleError

_Result = TypeVar("_Result")
_MAX_UNREAD_BYTES: Final = 64 * 1024**2
"""What a refused upload may still send, so that its client hears why and no broken connection."""


class Upload:
    """What arrives piece by piece, `max_bytes` at most; `on_piece` is called before each is taken.

    A thread of its own reads it: one that waits for a slow client keeps no other work waiting.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], max_bytes: int, on_piece: Callable[[], None]
    ) -> None:
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._on_piece = on_piece
        self._size = 0

    async def run(self, work: Callable[[IO[bytes]], _Result]) -> _Result:
        """Return what `work` returns of the upload. What it refuses is read to its end.

        Raises:
            BundleError: it is too large.
        """
        source = _Source(self._next, asyncio.get_running_loop())
        pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        working = asyncio.get_running_loop().run_in_executor(pool, work, cast("IO[bytes]", source))
        try:
            return await asyncio.shield(working)
        except BundleError:
            await self._drop_rest()
            raise
        finally:
            source.stop()
            with suppress(Exception, asyncio.CancelledError):
                # What it writes is removed next: it must have ended.
                await asyncio.shield(working)
            pool.shutdown(wait=False)

    async def _next(self) -> bytes:
        chunk = await anext(self._chunks, b"")
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise BundleError(f"the bundle has more than {self._max_bytes} bytes")
        if chunk:
            await asyncio.to_thread(self._on_piece)
        return chunk

    async def _drop_rest(self) -> None:
        left = _MAX_UNREAD_BYTES
        async for chunk in self._chunks:
            left -= len(chunk)
            if left < 0:
                return


class _Source(io.RawIOBase):
    """The reading end, for one thread. `ask` is a coroutine of the loop that waits for a piece."""

    def __init__(
        self, ask: Callable[[], Coroutine[Any, Any, bytes]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._ask = ask
        self._loop = loop
        self._rest = b""
        self._is_stopped = False
        self._asking: concurrent.futures.Future[bytes] | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end; all that is left for a negative size."""
        pieces, have = [self._rest], len(self._rest)
        while (size < 0 or have < size) and (piece := self._piece()):
            pieces.append(piece)
            have += len(piece)
        content = b"".join(pieces)
        end = len(content) if size < 0 else size
        self._rest = content[end:]
        return content[:end]

    def stop(self) -> None:
        """Have the thread's next read fail, and the one that waits. Called on the loop."""
        self._is_stopped = True
        if self._asking is not None:
            self._asking.cancel()

    def _piece(self) -> bytes:
        if self._is_stopped:
            raise concurrent.futures.CancelledError
        self._asking = asyncio.run_coroutine_threadsafe(self._ask(), self._loop)
        return self._asking.result()

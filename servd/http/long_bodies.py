"""Long bodies: kept in memory files, and read by a process beside. Used by parsing.py, query.py.

A body is written to a memory file as it comes. `BodyReader` has body_reader.py make its rows of
it, another memory file, of which the rows are views.
"""

import asyncio
import logging
import mmap
import os
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, cast

import msgspec

from servd.http.body_reader import MESSAGE_BYTES, Done, Job, Refused
from servd.http.bounds import Bounds
from servd.long_bytes import LONG_BYTES, LongBytes

logger = logging.getLogger(__name__)

BODIES_HELD: Final = 8
"""Long bodies come and are read at the same time while they add up to so many of the longest."""

READ_TIMEOUT_S: Final = 60.0
"""Reading the longest body takes a second, or several; a reader that takes so long is ended."""

QUICK_BYTES: Final = 4 * 1024 * 1024
_UNMAPPED_BESIDE_BYTES: Final = 1 << 23
_UNMAP_TRIES: Final = 100
_UNMAP_WAIT_S: Final = 0.05
_SPAWN_ENVIRONMENT: Final = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "0"}
"""So that the reader gives back what a body took; glibc would keep tens of megabytes."""


class BusyError(Exception):
    """As many long bodies are held as may be."""


class LongBody:
    """A body in a memory file; `close` lets go of it, however often it is called."""

    __slots__ = ("_held", "descriptor", "size")

    def __init__(self, held: "BytesHeld") -> None:
        self._held = held
        self.descriptor = os.memfd_create("servd-body", os.MFD_CLOEXEC)
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add what came.

        Raises:
            BusyError: all long bodies together are too long.
        """
        self._held.take(len(chunk))
        self.size += len(chunk)
        os.write(self.descriptor, chunk)

    def close(self) -> None:
        """Let go of the file: it was read, or will not be."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            self._held.give_back(self.size)

    def __del__(self) -> None:
        self.close()


class BytesHeld:
    """How many bytes of long bodies and of their rows a server holds, and may hold."""

    __slots__ = ("_limit", "held")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, size: int, *, is_forced: bool = False) -> None:
        """Count bytes that came.

        Raises:
            BusyError: they would be too many, and are not forced.
        """
        if self.held + size > self._limit and not is_forced:
            raise BusyError
        self.held += size

    def give_back(self, size: int) -> None:
        """Count bytes that have gone."""
        self.held -= size


class LongRows:
    """The rows of a long body, views of a memory file. They live as long as one is in use."""

    def __init__(self, descriptor: int, done: Done, held: BytesHeld) -> None:
        self.count = done.count
        self.is_batch = done.is_batch
        self.version = done.version
        self._size = done.size
        self._file = _RowFile(descriptor, done.size + 4 * done.count, held)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the rows, as bytes where all are short, else as LongBytes: what a query holds."""
        view = memoryview(self._file.mapped)
        at = 0
        for index in range(self.count):
            (size,) = struct.unpack_from("<I", view, self._size + 4 * index)
            row = view[at : at + size]
            at += size
            is_short = self._size <= LONG_BYTES
            yield bytes(row) if is_short else cast("bytes", LongBytes([row], self._file))


class _RowFile:
    """A mapped memory file. Unmapping a long one takes tens of milliseconds: a thread does it."""

    _unmapping: ThreadPoolExecutor | None = None

    def __init__(self, descriptor: int, size: int, held: BytesHeld) -> None:
        self._held = held
        held.take(size, is_forced=True)
        self.mapped = mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else b""

    def __del__(self) -> None:
        self._held.give_back(len(self.mapped))
        if isinstance(self.mapped, mmap.mmap) and len(self.mapped) > _UNMAPPED_BESIDE_BYTES:
            if _RowFile._unmapping is None:
                _RowFile._unmapping = ThreadPoolExecutor(1, "servd-unmap")
            with suppress(RuntimeError):  # the interpreter ends
                _RowFile._unmapping.submit(_unmap, self.mapped)


def _unmap(mapped: mmap.mmap) -> None:
    for _ in range(_UNMAP_TRIES):
        try:
            mapped.close()
        except BufferError:  # a part of it is being sent
            time.sleep(_UNMAP_WAIT_S)
        else:
            return


class Reading:
    """A body on its way through the reader; `on_read` is not called once it `is_cancelled`."""

    __slots__ = ("body", "is_cancelled", "job", "on_read")

    def __init__(
        self, body: LongBody, job: Job, on_read: Callable[[LongRows | Refused], None]
    ) -> None:
        self.body = body
        self.job = job
        self.on_read = on_read
        self.is_cancelled = False

    def cancel(self) -> None:
        """Want nothing of it any more."""
        self.is_cancelled = True
        self.body.close()


class BodyReaders:
    """Two readers, so that what takes milliseconds to read does not wait for what takes seconds."""

    def __init__(self, bounds: Bounds) -> None:
        self.held = BytesHeld(BODIES_HELD * bounds.max_body_bytes)
        self.quick = BodyReader(self.held)
        self.slow = BodyReader(self.held)

    def read(
        self, body: LongBody, job: Job, on_read: Callable[[LongRows | Refused], None]
    ) -> Reading:
        """Have a body read; `on_read` gets its rows or why it is refused."""
        # What a packed body comes to is not known.
        is_quick = body.size <= QUICK_BYTES and not job.encoding
        return (self.quick if is_quick else self.slow).read(body, job, on_read)

    async def close(self) -> None:
        """End both."""
        await self.quick.close()
        await self.slow.close()


class BodyReader:
    """Has long bodies read, one after the other. Its process is started at the first."""

    def __init__(self, held: BytesHeld) -> None:
        self.held = held
        self._waiting: deque[Reading] = deque()
        self._current: Reading | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def read(
        self,
        body: LongBody,
        job: Job,
        on_read: Callable[[LongRows | Refused], None],
    ) -> Reading:
        """Have a body read; `on_read` gets its rows or why it is refused."""
        reading = Reading(body, job, on_read)
        self._waiting.append(reading)
        self._go_on()
        return reading

    async def close(self) -> None:
        """End the process."""
        for reading in (*self._waiting, *([self._current] if self._current else [])):
            reading.cancel()
        self._waiting.clear()
        process = self._process
        self._end()
        if process is not None:
            await asyncio.to_thread(process.wait)  # two may wait for one process

    def _go_on(self) -> None:
        while self._current is None and self._waiting:
            reading = self._waiting.popleft()
            if reading.is_cancelled:
                continue
            if self._channel is None:
                self._start()
            assert self._channel is not None  # noqa: S101  # it was just made
            self._current = reading
            message = msgspec.json.encode(reading.job)
            with suppress(OSError):  # it has ended: reading says so next
                socket.send_fds(self._channel, [message], [reading.body.descriptor])
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(READ_TIMEOUT_S, self._kill)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "servd.http.body_reader", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | _SPAWN_ENVIRONMENT,
            )
        ours.setblocking(False)
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_reply)

    def _on_reply(self) -> None:
        assert self._channel is not None  # noqa: S101  # it is read from while there is one
        try:
            message, descriptors, _, _ = socket.recv_fds(self._channel, MESSAGE_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = b"", []
        if message:
            self._finish(msgspec.json.decode(message, type=Done | Refused), descriptors)
        else:
            logger.warning("the reader of long bodies ended; the next long body starts another")
            self._end()
            cause = "the body could not be read; the server's log says more"
            self._finish(Refused(500, "Internal error", cause), [])

    def _finish(self, reply: Done | Refused, descriptors: list[int]) -> None:
        reading, self._current = self._current, None
        if self._timer is not None:
            self._timer.cancel()
        try:
            read = LongRows(descriptors[0], reply, self.held) if isinstance(reply, Done) else reply
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._go_on()
        if reading is not None and not reading.is_cancelled:
            reading.body.close()
            reading.on_read(read)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            asyncio.get_running_loop().remove_reader(channel.fileno())
            channel.close()
        if process is not None:
            process.kill()
            asyncio.get_running_loop().run_in_executor(None, process.wait)

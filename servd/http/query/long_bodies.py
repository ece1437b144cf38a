"""Has long bodies read by a process beside. Used by state.py and connection.py.

`BodyReader` has body_reader.py make the rows of a body (held_bodies.py), another memory file.
"""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from servd.http.bounds import LONG_BODY_BYTES, Bounds
from servd.http.query.body_reader import MESSAGE_BYTES, Begun, Done, Job, Refused, Valid
from servd.http.query.held_bodies import BytesHeld, LongBody, LongRows
from servd.http.query.reader_nursery import ReaderNursery, ReaderProcess

logger = logging.getLogger(__name__)

BODIES_HELD: Final = 8
"""Long bodies come and are read at the same time while they add up to so many of the longest."""

READ_TIMEOUT_S: Final = 60.0
"""Reading the longest body takes a second, or several; a reader that takes so long is ended."""


IDLE_S: Final = 60.0
"""A reader that has had nothing to read for so long ends, and gives its memory back."""

QUICK_BYTES: Final = 4 * 1024 * 1024


class Reading:
    """A body on its way through the reader; `on_read` is not called once it `is_cancelled`.

    It `is_in_question` while the reader has it and has not said yet that it is JSON. Then
    `when_known` is called, unless it is refused. It is given to a reader once again (`is_again`)
    where the first one ended before it ran. `abandon` is called where it is cancelled while the
    reader has it.
    """

    __slots__ = (
        "abandon",
        "body",
        "is_again",
        "is_cancelled",
        "is_in_question",
        "job",
        "on_read",
        "when_known",
    )

    def __init__(
        self, body: LongBody, job: Job, on_read: Callable[[LongRows | Refused], None]
    ) -> None:
        self.body = body
        self.job = job
        self.on_read = on_read
        self.is_again = False
        self.is_cancelled = False
        self.is_in_question = False
        self.when_known: Callable[[], None] | None = None
        self.abandon: Callable[[], None] | None = None

    def refuse(self, refused: Refused) -> None:
        """Say that it will not be read."""
        if not self.is_cancelled:
            self.on_read(refused)

    def cancel(self) -> None:
        """Want nothing of it any more."""
        self.is_cancelled = True
        self.when_known = None
        self.body.close()
        abandon, self.abandon = self.abandon, None
        if abandon is not None:
            abandon()

    def on_json(self) -> None:
        """Take the news that it is JSON."""
        self.is_in_question = False
        if self.when_known is not None:
            self.when_known()


class BodyReaders:
    """Two readers, so that what takes milliseconds to read does not wait for what takes seconds.

    Their processes are forked when they are needed, from one that has been started before
    (`nursery`), so that no body waits for Python to load its modules.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.held = BytesHeld(BODIES_HELD * bounds.max_body_bytes)
        self.nursery = ReaderNursery()
        self.nursery.is_lazy = bounds.max_body_bytes <= LONG_BODY_BYTES  # then there are few
        self.quick = BodyReader(self.held, self.nursery)
        self.slow = BodyReader(self.held, self.nursery)

    def read(
        self, body: LongBody, job: Job, on_read: Callable[[LongRows | Refused], None]
    ) -> Reading:
        """Have a body read; `on_read` gets its rows or why it is refused."""
        # What a packed body comes to is not known.
        is_quick = body.size <= QUICK_BYTES and not job.encoding
        return (self.quick if is_quick else self.slow).read(body, job, on_read)

    async def close(self) -> None:
        """End both, and what they are forked from."""
        self.quick.close()
        self.slow.close()
        await self.nursery.close()


class BodyReader:
    """Has long bodies read, one after the other, by a process that is forked for the first."""

    def __init__(self, held: BytesHeld, nursery: ReaderNursery) -> None:
        self.held = held
        self._nursery = nursery
        self._waiting: deque[Reading] = deque()
        self._current: Reading | None = None
        self._process: ReaderProcess | None = None
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

    def close(self) -> None:
        """End the process."""
        waiting, self._waiting = self._waiting, deque()
        for reading in (*waiting, *([self._current] if self._current else [])):
            reading.cancel()
        self._end()

    def _go_on(self) -> None:
        while self._current is None and self._waiting:
            reading = self._waiting.popleft()
            if reading.is_cancelled:
                continue
            try:
                reading.body.flush()
                is_new = self._process is None
                self._process = self._process or self._nursery.fork()
            except OSError as error:
                self._refuse_unread(reading, error)
                continue
            if is_new:
                loop = asyncio.get_running_loop()
                loop.add_reader(self._process.channel.fileno(), self._on_reply)
            self._current = reading
            reading.is_in_question = True
            reading.abandon = self._abandon
            with suppress(OSError):  # it has ended: reading says so next
                _send(self._process.channel, reading)
            self._set_timer(READ_TIMEOUT_S, self._kill)

    def _refuse_unread(self, reading: Reading, error: OSError) -> None:
        """Refuse a body that cannot be read now: the machine has no room for a process."""
        logger.warning("no reader of long bodies can be started: %s", error)
        cause = f"the body could not be read: {error.strerror}; try again later"
        refused = Refused(503, "Internal error", cause)
        reading.body.close()
        # Not at once: whoever asks is still to be told which reading it is.
        asyncio.get_running_loop().call_soon(reading.refuse, refused)

    def _on_reply(self) -> None:
        assert self._process is not None  # noqa: S101  # it is read from while there is one
        try:
            message, descriptors, _, _ = socket.recv_fds(self._process.channel, MESSAGE_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = b"", []
        if not message:
            self._on_end(has_begun=self._process.pid > 0)
            return
        reply = msgspec.json.decode(message, type=Begun | Valid | Done | Refused)
        if isinstance(reply, Begun):
            self._process.pid = reply.pid
        elif isinstance(reply, Valid):
            if self._current is not None:
                self._current.on_json()
        else:
            self._finish(reply, descriptors)

    def _on_end(self, *, has_begun: bool) -> None:
        self._end()
        reading = self._current
        if reading is not None and not has_begun and not reading.is_again:
            # Nobody has looked at it: what the reader was to be forked from has ended.
            self._current = None
            reading.is_again = True
            self._waiting.appendleft(reading)
            self._go_on()
            return
        logger.warning("the reader of long bodies ended; the next long body starts another")
        cause = "the body could not be read; the server's log says more"
        self._finish(Refused(500, "Internal error", cause), [])

    def _finish(self, reply: Done | Refused, descriptors: list[int]) -> None:
        reading, self._current = self._current, None
        if reading is not None:
            reading.abandon = None
        self._set_timer(IDLE_S, self._end)
        try:
            read = LongRows(descriptors[0], reply, self.held) if isinstance(reply, Done) else reply
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._go_on()
        if reading is not None and not reading.is_cancelled:
            reading.body.close()
            reading.on_read(read)

    def _set_timer(self, delay_s: float, do: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, do)

    def _abandon(self) -> None:
        """End a reader whose body nobody waits for any more: others do, and a new one is cheap."""
        self._current = None
        self._end()
        self._go_on()

    def _kill(self) -> None:
        if self._process is not None:
            self._nursery.kill(self._process)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        process, self._process = self._process, None
        if process is not None:
            asyncio.get_running_loop().remove_reader(process.channel.fileno())
            process.channel.close()
            self._nursery.kill(process)


def _send(channel: socket.socket, reading: Reading) -> None:
    """Hand a body over, and what is wanted of it: in a file where a message would not hold it.

    Raises:
        OSError: it cannot be handed over.
    """
    job, files = msgspec.json.encode(reading.job), [reading.body.descriptor]
    if len(job) <= MESSAGE_BYTES:
        socket.send_fds(channel, [job], files)
        return
    with os.fdopen(os.memfd_create("servd-job", os.MFD_CLOEXEC), "wb") as file:
        file.write(job)
        file.flush()
        socket.send_fds(channel, [b"file"], [*files, file.fileno()])

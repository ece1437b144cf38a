"""Takes what replica processes print out of their pipes. Made and used by launchers/process.py.

One thread for all of them. It looks at pipes that have something, then rests for a moment, so that
a model that prints a line for each query costs the daemon twenty looks a second and not a look a
line; while a pipe is full it does not rest, and a model waits for no longer than the disk does.
"""

import fcntl
import os
import select
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from servd.logs.log import log
from servd.logs.model_log import ModelLog

PIPE_BYTES: Final = 256 * 1024
"""What a model may print before it waits for us. The kernel lets a user have 64 MiB of pipes."""

PIECE_BYTES: Final = 64 * 1024
"""Read and written at once: the event loop's thread gets its turn between two."""

PIECES: Final = 16
"""Of one pipe before the next one has its turn."""

REST_S: Final = 0.05
IDLE_S: Final = 0.5
"""After so long what has no end of line yet is written."""


class Output:
    """The reading end of one replica's standard output and error, and its log.

    `write_end` is the process's: who launches it closes it here. `name` is what /proc calls the
    pipe, in this process and in all that hold it.
    """

    def __init__(self, path: Path, secrets: Iterable[tuple[str, str]] = ()) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)
        self.name = str(Path(f"/proc/self/fd/{self.read_end}").readlink())
        with suppress(OSError):
            fcntl.fcntl(self.read_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._log = ModelLog(path, secrets=secrets)
        self._log.begin()
        self._lock = threading.Lock()
        self.is_closed = False

    def read(self) -> int:
        """Read what is there, up to a pipe's share; return how many bytes. It never waits."""
        with self._lock:
            count = 0
            for _ in range(PIECES):
                piece = self._piece()
                if not piece:
                    break
                self._feed(piece)
                count += len(piece)
            return count

    def drain(self) -> None:
        """Read all that a process that has ended has printed, and write the last line.

        What it started may go on printing: no more is read than fits the pipe.
        """
        self.read()
        self.rest()

    def rest(self) -> None:
        """Write what has no end yet, as nothing more has come."""
        with self._lock:
            if not self.is_closed:
                self._log.rest()

    def close(self) -> None:
        """Read what is there and end. Only the pump calls it, as it knows when nobody reads."""
        self.drain()
        with self._lock:
            if not self.is_closed:
                self.is_closed = True
                os.close(self.read_end)
                self._log.close()

    def _piece(self) -> bytes:
        if self.is_closed:
            return b""
        try:
            return os.read(self.read_end, PIECE_BYTES)
        except BlockingIOError:
            return b""

    def _feed(self, piece: bytes) -> None:
        try:
            self._log.feed(piece)
        except Exception:  # noqa: BLE001 - the boundary of a thread: a model must not wait for ever
            log.exception("what a model printed cannot be logged")


class LogPump:
    """The thread. It begins with the first process and ends with the daemon's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outputs: dict[int, Output] = {}
        self._closing: list[Output] = []
        self._poll: select.epoll | None = None
        self._wake = -1

    def open(self, path: Path, secrets: Iterable[tuple[str, str]] = ()) -> Output:
        """Return a new output. Its `write_end` is the caller's to close.

        `secrets` are texts that are not to be in the log, each with what stands in its place.

        Raises:
            OSError: there are no descriptors left.
        """
        with self._lock:
            if self._poll is None:
                self._begin()
            output = Output(path, secrets)
            self._outputs[output.read_end] = output
            self._epoll.register(output.read_end, select.EPOLLIN)
        return output

    def close(self, output: Output) -> None:
        """Have an output read to its end and closed, by the thread: a disk may be slow."""
        with self._lock:
            self._closing.append(output)
        os.eventfd_write(self._wake, 1)

    @property
    def _epoll(self) -> select.epoll:
        assert self._poll is not None  # noqa: S101 - asked once it has begun
        return self._poll

    def _begin(self) -> None:
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._wake, select.EPOLLIN)
        threading.Thread(target=self._run, name="servd-logs", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self._look()
            except Exception:  # noqa: BLE001 - the boundary of a thread: models must not wait
                log.exception("reading what models print failed")
                time.sleep(IDLE_S)

    def _look(self) -> None:
        """Read what has come, or see that nothing has for a while."""
        fds = [fd for fd, _ in self._epoll.poll(IDLE_S)]
        if self._wake in fds:
            os.eventfd_read(self._wake)
        with self._lock:
            ready = [self._outputs[fd] for fd in fds if fd in self._outputs]
            silent = [each for fd, each in self._outputs.items() if fd not in fds]
            closing, self._closing = self._closing, []
        is_behind = False
        for output in ready:
            is_behind |= self._read(output)
        for output in silent:
            output.rest()
        for output in closing:
            self._end(output)
        if not is_behind:
            # What comes meanwhile is read in one go; whoever waits for an end waits no longer.
            time.sleep(REST_S)

    def _read(self, output: Output) -> bool:
        """Read a pipe's share; return whether the next is likely to be there at once."""
        count = output.read()
        if count == 0:
            # It was readable and there was nothing: nobody holds the other end any more.
            with suppress(OSError):
                self._epoll.unregister(output.read_end)
        return count >= PIECE_BYTES

    def _end(self, output: Output) -> None:
        with self._lock:
            self._outputs.pop(output.read_end, None)
            with suppress(OSError):
                self._epoll.unregister(output.read_end)
        output.close()

"""Where the readers of long bodies come from. Made by long_bodies.py.

A process that has loaded what a reader needs (body_reader.py) is started with the query server, and
forks a reader in a few milliseconds when one is needed. Loading takes longer
than a body's objective may be.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Final

from servd.http.query.body_reader import READY

logger = logging.getLogger(__name__)

_READER: Final = "servd.http.query.body_reader"
_SPAWN_ENVIRONMENT: Final = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "0"}
"""So that a reader gives back what a body took; glibc would keep tens of megabytes."""

_END_S: Final = 1.0
"""How long it may take to end, with its readers; then it is killed."""


class ReaderProcess:
    """A reader that was asked for; `pid` is 0 until it runs. `channel` says when it has ended."""

    __slots__ = ("channel", "number", "pid")

    def __init__(self, number: int, channel: socket.socket) -> None:
        self.number = number
        self.channel = channel
        self.pid = 0


class ReaderNursery:
    """Has readers forked and killed. One that ends is replaced, at once if it had been of use.

    What it is asked while its process still starts waits in the socket.
    """

    def __init__(self) -> None:
        self.is_lazy = False
        self.is_ready = False
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def warm_up(self) -> None:
        """Start the process, unless it `is_lazy`: then the first long body does."""
        if self.is_lazy or self._channel is not None:
            return
        try:
            self._start()
        except OSError as error:
            logger.warning("no reader of long bodies can be started: %s", error)

    def fork(self) -> ReaderProcess:
        """Return a new reader.

        Raises:
            OSError: the machine has no room for a process, or for its descriptors.
        """
        if self._channel is None:
            self._start()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._count += 1
        with theirs:
            try:
                self._ask_for(self._count, theirs)
            except OSError:
                ours.close()
                raise
        return ReaderProcess(self._count, ours)

    def kill(self, process: ReaderProcess) -> None:
        """End a reader that hangs; nothing happens to one that has ended."""
        with suppress(OSError):  # the nursery has ended: a reader ends with its channel then
            self._ask(process.number, [])

    async def close(self) -> None:
        """End it, and with it the readers."""
        process = self._process
        self._end()
        if process is None:
            return
        if not self._count:
            process.kill()  # it has forked nothing, and may still be loading
        try:
            await asyncio.to_thread(process.wait, _END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    def _ask_for(self, number: int, channel: socket.socket) -> None:
        try:
            self._ask(number, [channel.fileno()])
        except ConnectionError:  # it has ended, and nobody has looked since
            self._on_end()
            if self._channel is None:
                self._start()
            self._ask(number, [channel.fileno()])

    def _ask(self, number: int, descriptors: list[int]) -> None:
        if self._channel is not None:
            socket.send_fds(self._channel, [b"%d" % number], descriptors)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", _READER, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    process_group=0,  # what a terminal sends is for the server
                    env=os.environ | _SPAWN_ENVIRONMENT,
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self._channel = ours
        self.is_ready = False
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_news)

    def _on_news(self) -> None:
        """Take the word that it is ready, or that it has ended."""
        if self._channel is None:
            return
        try:
            message = self._channel.recv(len(READY))
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self.is_ready = True
        else:
            self._on_end()

    def _on_end(self) -> None:
        """Start another, unless it never was of use: then the next long body tries again."""
        was_ready, process = self.is_ready, self._process
        self._end()
        if process is not None:
            asyncio.get_running_loop().run_in_executor(None, process.wait)
        logger.warning("the process that readers of long bodies are forked from ended")
        if was_ready:
            self.warm_up()

    def _end(self) -> None:
        channel, self._channel = self._channel, None
        self._process = None
        self.is_ready = False
        if channel is not None:
            asyncio.get_running_loop().remove_reader(channel.fileno())
            channel.close()

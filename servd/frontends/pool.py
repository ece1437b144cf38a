"""Keeps N front-end processes: starts them, starts anew what ends, stops them. Made by daemon.py.

The daemon holds the listening sockets, one a frontend on one port (SO_REUSEPORT), and lends each to
its process: what waits to be accepted when a frontend dies is accepted by the one that follows it.
"""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Self

from model_runtime.contract import PARENT_VARIABLE
from servd.config import Config
from servd.errors import StartError
from servd.frontends.hub import Frontends, Listener
from servd.logs.log import log
from servd.replicas.launchers.base import describe_exit
from servd.system.offspring import PRIVATE, offspring

BACKLOG = 4096
START_S = 30.0
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0


class _Member:
    """One process. `has_spoken`: it listens, or has ended; `is_over`: it leaves, or has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.is_listening = False
        self.has_spoken = asyncio.Event()
        self.is_over = asyncio.Event()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)


class FrontendProcesses(Listener):
    """The query port's door where frontends answer; an async context manager.

    Entered, every frontend answers queries.

    Raises:
        StartError: at entry, where one cannot be started.
    """

    def __init__(self, frontends: Frontends, config: Config) -> None:
        self._frontends = frontends
        self._config = config
        self._tasks = asyncio.TaskGroup()
        self._sockets: list[socket.socket | None] = [None] * config.frontends
        self._living: dict[int, _Member] = {}
        self._next_number = 0
        self._stop = asyncio.Event()
        self._gone = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._frontends.listener = self
        await self._tasks.__aenter__()
        try:
            async with asyncio.timeout(START_S):
                first = [await self._start(index) for index in range(len(self._sockets))]
                for member in first:
                    await member.has_spoken.wait()
        except (TimeoutError, OSError) as error:
            await self.__aexit__()
            raise StartError(f"a frontend cannot be started: {error or 'it hangs'}") from error
        if not all(member.is_listening for member in first):
            await self.__aexit__()
            raise StartError("a frontend ended before it answered", hint="see the daemon's output")
        for index, member in enumerate(first):
            self._tasks.create_task(self._keep(index, member))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.stop_accepting()
        for number in list(self._living):
            self.on_hanging(number)
        await self._tasks.__aexit__(None, None, None)

    def set_ready(self) -> None:
        """Have probers told that queries are welcome."""
        self._frontends.set_ready()

    def stop_accepting(self) -> None:
        """Close the door; the frontends answer what they have and end."""
        self._stop.set()
        for index in range(len(self._sockets)):
            self._close(index)
        for member in self._living.values():
            member.signal(signal.SIGTERM)
        if not self._living:
            self._gone.set()

    async def drain(self, timeout_s: float) -> None:
        """Wait until every frontend has answered what it had, `timeout_s` at most."""
        self._frontends.tell_ending(timeout_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._gone.wait()

    # --- told by hub.py ---

    def on_listening(self, number: int) -> None:
        """Note that a frontend answers."""
        member = self._living.get(number)
        if member is not None:
            member.is_listening = True
            member.has_spoken.set()

    def on_leaving(self, number: int) -> None:
        """Let its successor start while it still answers what it has."""
        member = self._living.get(number)
        if member is not None:
            member.is_over.set()

    def on_hanging(self, number: int) -> None:
        """End a frontend at once."""
        member = self._living.get(number)
        if member is not None:
            member.signal(signal.SIGKILL)

    # --- the life of each ---

    async def _keep(self, index: int, member: _Member) -> None:
        """Have a frontend at the socket of that index until the daemon stops."""
        await member.is_over.wait()
        failures = 0
        while not self._stop.is_set():
            try:
                member = await self._start(index)
            except OSError as error:
                log.error("a frontend cannot be started: %s", error)
            else:
                await member.is_over.wait()
                if member.is_listening:
                    failures = 0
                    continue
            # The others shall get its connections meanwhile: it may never come up.
            self._close(index)
            pause_s = min(BACKOFF_FIRST_S * 2.0 ** min(failures, 10), BACKOFF_MAX_S)
            failures += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)

    async def _start(self, index: int) -> _Member:
        sock = self._sockets[index]
        if sock is None:
            sock = self._sockets[index] = self._listen()
        number, self._next_number = self._next_number, self._next_number + 1
        config = self._config
        environ = {name: value for name, value in os.environ.items() if name not in PRIVATE}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "servd.processes.frontend"),
            *(f"--number={number}", f"--index={index}", f"--fd={sock.fileno()}"),
            *(f"--feed={config.feed_socket}", f"--data-dir={config.data_dir}"),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(sock.fileno(),),
            env={**environ, PARENT_VARIABLE: str(os.getpid())},
            # Ctrl-C at the daemon's terminal must not reach it: it drains first.
            start_new_session=True,
        )
        offspring.own(process.pid)
        member = self._living[number] = _Member(process)
        self._tasks.create_task(self._watch(number, member))
        return member

    async def _watch(self, number: int, member: _Member) -> None:
        if self._stop.is_set():  # it was being launched then
            member.signal(signal.SIGTERM)
        code = await member.process.wait()
        offspring.disown(member.process.pid)
        del self._living[number]
        member.has_spoken.set()
        member.is_over.set()
        if not self._stop.is_set():
            log.warning("frontend %d %s; another follows", number, describe_exit(code))
        elif not self._living:
            self._gone.set()

    def _close(self, index: int) -> None:
        sock, self._sockets[index] = self._sockets[index], None
        if sock is not None:
            sock.close()

    def _listen(self) -> socket.socket:
        family, kind, protocol, _, address = socket.getaddrinfo(
            self._config.bind,
            self._config.query_port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

"""`python -m servd.processes.frontend`: a front-end process, one of N. Launched by pool.py.

The composition root of a process that answers queries and owns nothing: it follows the daemon by
the feed (feed.py), connects to every replica itself, and ends when the daemon does.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import uvloop

from model_runtime.attention import Attention
from model_runtime.contract import PARENT_VARIABLE, die_with_parent
from servd.clock import monotonic
from servd.config import Config
from servd.engine.engine import Engine
from servd.frontends import feed
from servd.frontends.follower import Follower, open_link
from servd.http.query.server import QueryServer
from servd.logs import log
from servd.processes import lifecycle

HEARTBEAT_S = 0.5
DRAIN_CHECK_S = 0.01
DRAIN_STEP_S = 0.1


class FeedLostError(Exception):
    """The daemon hung up: there is nobody to follow."""


class Frontend:
    """One front-end process: `run` is its life."""

    def __init__(self, number: int, index: int, data_dir: Path, sock: socket.socket) -> None:
        self._number = number
        self._index = index
        self._data_dir = data_dir
        self._drain_s = 0.0
        self._socket = sock
        self._stop = asyncio.Event()
        self._beats = 0
        self._is_ready = False
        self._server: QueryServer | None = None

    async def run(self, path: Path) -> int:
        """Follow the feed at `path` and answer queries until told to end."""
        reader, self._writer = await asyncio.open_unix_connection(
            str(path), limit=feed.MAX_LINE_BYTES
        )
        self._reader = reader
        self._send(feed.Hello(self._number))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._hang_up)
            welcome = await self._receive()
            if not isinstance(welcome, feed.Welcome):
                raise FeedLostError
            config = self._configure(welcome.settings, stack)
            engine = await stack.enter_async_context(
                Engine(config.cache_bytes, monotonic, config.predict_timeout_s)
            )
            self._follower = Follower(
                engine, self._number, partial(open_link, curve_dir=config.curve_dir)
            )
            stack.callback(self._follower.close)
            # The first snapshot and the history come first, so no query meets an empty engine.
            for _ in range(2):
                self._on_message(await self._receive())
            server = QueryServer(
                engine,
                config,
                self._socket,
                figures=self._follower.totals,
                is_ready=self._is_ready,
            )
            self._server = server
            server.next_id = self._number * lifecycle.IDS_EACH
            await stack.enter_async_context(server)
            await self._serve(server)
            self._send(self._follower.report())
        return 0

    async def _hang_up(self) -> None:
        with suppress(OSError):
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()

    def _configure(self, settings: feed.Settings, stack: AsyncExitStack) -> Config:
        given = {name: getattr(settings, name) for name in settings.__struct_fields__}
        config = Config(data_dir=self._data_dir, **given)
        self._drain_s = config.drain_s
        path = config.logs_dir / f"frontend.{self._index}.log"
        stack.callback(log.release, log.configure(path, config.log_level, to_stderr=False))
        return config

    async def _serve(self, server: QueryServer) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        lifecycle.freeze()
        self._send(feed.Listening())
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow())
            beating = tasks.create_task(self._beat())
            await self._stop.wait()
            self._send(feed.Leaving())
            await lifecycle.close(server)
            began_s = monotonic()
            # In steps, as the daemon may say only now how long it may take.
            while server.connections and monotonic() < began_s + self._drain_s:
                await server.drain(DRAIN_STEP_S)
            following.cancel()
            beating.cancel()

    async def _follow(self) -> None:
        while True:
            self._on_message(await self._receive())

    async def _receive(self) -> feed.FromDaemon:
        try:
            line = await self._reader.readline()
        except ConnectionError as error:
            raise FeedLostError from error
        if not line:
            raise FeedLostError
        return feed.decode_from_daemon(line)

    def _on_message(self, message: feed.FromDaemon) -> None:
        if isinstance(message, feed.CountReport):
            self._follower.totals.add(message)
        elif isinstance(message, feed.Ending):
            self._drain_s = message.drain_s
        elif isinstance(message, feed.Snapshot):
            self._follower.apply(message)
            self._is_ready = message.is_ready
            if self._server is not None:
                self._server.is_ready = message.is_ready
            self._send(feed.Applied(message.number))
            self._tell_drained()

    def _tell_drained(self) -> None:
        for address in self._follower.drained():
            self._send(feed.Drained(address))
        if self._follower.is_draining:
            asyncio.get_running_loop().call_later(DRAIN_CHECK_S, self._tell_drained)

    async def _beat(self) -> None:
        attention = Attention(monotonic, HEARTBEAT_S)
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._beats += 1
            self._follower.excuse(attention.missed_s())
            self._follower.tick()
            if self._beats % 2 == 0:
                self._send(self._follower.report())
                self._follower.totals.end_second()

    def _send(self, message: feed.FromFrontend) -> None:
        self._writer.write(feed.encode(message))


def main() -> int:
    """Run a frontend; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m servd.processes.frontend", description=__doc__)
    parser.add_argument("--feed", required=True, type=Path, help="the daemon's feed socket")
    parser.add_argument("--number", required=True, type=int, help="no other has had it")
    parser.add_argument("--index", required=True, type=int, help="which of the N it is")
    parser.add_argument("--data-dir", required=True, type=Path)
    parser.add_argument("--fd", required=True, type=int, help="the listening socket")
    given = parser.parse_args()
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's, which drains
    sock = socket.socket(fileno=given.fd)
    frontend = Frontend(given.number, given.index, given.data_dir, sock)
    code = 1
    lifecycle.keep_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            code = runner.run(frontend.run(given.feed))
        except* (FeedLostError, OSError) as errors:
            log.log.error("the daemon cannot be followed any more: %s", errors.exceptions[0])
    return code


if __name__ == "__main__":
    sys.exit(main())

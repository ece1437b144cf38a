"""Hosts looked up again and again, by a resolver that tests script."""

import asyncio
import logging
import socket
import threading
from contextlib import asynccontextmanager

import pytest

from servd.frontends import discovery
from servd.frontends.discovery import Discovery, ResolverError, addresses_of, resolve
from tests.serving import run, until


class Names:
    """A name service; an error in the place of addresses is raised, `gates` hold look-ups."""

    def __init__(self, **names):
        self.names = names
        self.gates = {}
        self.asked = []

    async def __call__(self, host):
        """Look a host up."""
        self.asked.append(host)
        if host in self.gates:
            await self.gates[host].wait()
        found = self.names.get(host, ())
        if isinstance(found, Exception):
            raise found
        return frozenset(found)


@asynccontextmanager
async def _discovery(names, interval_s=0.001):
    changes = []
    found = Discovery(lambda: changes.append(dict(found.found)), names, interval_s)
    found.changes = changes  # type: ignore[attr-defined]
    running = asyncio.ensure_future(found.run())
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.wait({running})


def test_changes_are_told_and_nothing_else():
    """A name that leads nowhere has no addresses, which is no error."""

    async def story():
        names = Names(h=["1"])
        async with _discovery(names) as found:
            found.watch({"h", "none"})
            assert not found.is_complete
            await until(lambda: found.is_complete)
            assert found.found == {"h": {"1"}, "none": frozenset()}
            count = len(names.asked)
            await until(lambda: len(names.asked) > count + 4)
            assert len(found.changes) == 2
            names.names["h"] = ["1", "2"]
            await until(lambda: found.found["h"] == {"1", "2"})
            found.watch({"none"})
            assert found.found == {"none": frozenset()}

    run(story())


def test_what_is_known_stays_when_nobody_answers(caplog):
    """The trouble and its end are logged once."""
    caplog.set_level(logging.INFO)

    async def story():
        names = Names(h=["1"])
        async with _discovery(names) as found:
            found.watch({"h"})
            await until(lambda: found.is_complete)
            names.names["h"] = ResolverError("try again")
            count = len(names.asked)
            await until(lambda: len(names.asked) > count + 3)
            assert found.found == {"h": {"1"}}
            names.names["h"] = ["1"]
            await until(lambda: len(caplog.messages) == 2)

    run(story())
    assert caplog.messages == ["h cannot be looked up: try again", "h can be looked up again"]


def test_a_new_host_is_looked_up_at_once_and_one_that_hangs_holds_nobody_up():
    """However long the interval is; an answer that comes too late is nobody's."""

    async def story():
        names = Names(h=["1"], n=["2"])
        names.gates["h"] = asyncio.Event()
        async with _discovery(names, interval_s=3600) as found:
            found.watch({"h"})
            await until(lambda: names.asked)
            found.watch({"h", "n"})
            await until(lambda: "n" in found.found)
            found.watch({"n"})
            names.gates["h"].set()
            await until(lambda: not found._pending)
            assert found.found == {"n": {"2"}}
            assert names.asked == ["h", "n"]

    run(story())


def test_addresses_are_the_systems():
    """An address is its own name; a thread of its own asks."""
    assert addresses_of("127.0.0.3") == {"127.0.0.3"}

    async def story():
        assert await resolve("127.0.0.3") == {"127.0.0.3"}

    run(story())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no"), None),
        (socket.gaierror(-5, "no data"), None),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "try again"),
        (UnicodeError("label too long"), "label too long"),
    ],
    ids=["no-name", "no-data", "again", "unicode"],
)
def test_no_such_name_is_an_answer_and_no_answer_is_an_error(monkeypatch, error, expected):
    """Only the first lets replicas go."""

    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(discovery.socket, "getaddrinfo", fail)
    if expected is None:
        assert addresses_of("h") == frozenset()
        return

    async def story():
        with pytest.raises(ResolverError, match=expected):
            await resolve("h")

    run(story())


def test_a_look_up_that_outlives_the_loop_is_dropped(monkeypatch):
    """The process does not wait for the name service when it ends."""
    gate, done = threading.Event(), threading.Event()

    def wait(_host):
        gate.wait(10)
        done.set()
        return frozenset()

    monkeypatch.setattr(discovery, "addresses_of", wait)

    async def story():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolve("h")

    run(story())
    gate.set()
    assert done.wait(10)


def test_a_host_whose_replicas_are_waited_for_is_looked_up_more_often(monkeypatch):
    """Others are not: each look-up is somebody's work."""
    monkeypatch.setattr(discovery, "URGENT_S", 0.001)

    async def story():
        names = Names(h=["1"], waited=[])
        async with _discovery(names, 60) as found:
            found.watch({"h", "waited"}, {"waited"})
            await until(lambda: names.asked.count("waited") > 3)
            assert names.asked.count("h") == 1
            found.watch({"h", "waited"})
            count = len(names.asked)
            found.watch({"h", "waited"}, {"waited"})
            await until(lambda: len(names.asked) > count + 1)

    run(story())

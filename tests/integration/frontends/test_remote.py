"""One replica on another host, as tests script it, with a clock that can be put forward."""

from contextlib import asynccontextmanager

import pytest

from model_runtime import protocol
from servd.carriers.curve import CurveKeys, generate
from servd.datatypes import GONE
from servd.engine.engine import Engine
from servd.frontends.feed import ReplicaSeat
from servd.frontends.remote import QUIET_S, REOPEN_S, Keys, open_remote_link, suspect_silent
from servd.replicas.link import SILENT_S
from tests.daemon import free_port
from tests.replicas import version_of
from tests.scripted_replica import ScriptedReplica
from tests.serving import run, until

ONE = version_of("1")


class Clock:
    """Stands still unless a test puts it forward."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        """Return the time."""
        return self.now_s


@asynccontextmanager
async def _stage(*addresses, curve=None):
    """Yield a clock, a dispatcher and an open link to each address."""
    clock = Clock()
    async with Engine(0, clock) as engine:
        dispatcher = engine.prepare(ONE)
        links = [
            open_remote_link(engine, ReplicaSeat(model="m", version="1", address=each), Keys(curve))
            for each in addresses
        ]
        try:
            yield clock, dispatcher, *links
        finally:
            for link in links:
                link.close()


def _errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def _replica(**options):
    return ScriptedReplica(address=f"tcp://127.0.0.1:{free_port()}", **options)


def test_a_replica_is_in_rotation_while_it_says_that_it_is_ready():
    """Not while it loads; what it says later counts too; draining it gets nothing new."""

    async def story():
        with _replica() as replica:
            replica.state = protocol.LOADING
            async with _stage(replica.address) as (_clock, dispatcher, link):
                heard = link.connection
                await until(lambda: replica._frontends)
                assert not dispatcher.is_live
                replica.announce(protocol.READY)
                await until(lambda: dispatcher.is_live)
                replica.announce(protocol.FAILED)
                await until(lambda: not dispatcher.is_live)
                assert not link.is_attached
                replica.announce(protocol.READY)
                await until(lambda: dispatcher.is_live)
                replica.announce(protocol.DRAINING)
                await until(lambda: not dispatcher.is_live)
                assert link.is_attached  # it still answers what it has
                assert link.connection is heard

    run(story())


def test_it_may_have_an_ipv6_address():
    """Clusters may have no other."""

    async def story():
        with ScriptedReplica(address=f"tcp://[::1]:{free_port()}") as replica:
            async with _stage(replica.address) as (_clock, dispatcher, _link):
                await until(lambda: dispatcher.is_live)

    run(story())


def test_the_end_of_its_connection_takes_it_out_at_once():
    """The clock stands still, so nothing waits; in its place another is found at the address."""

    async def story():
        with _replica() as replica:
            address = replica.address
            async with _stage(address) as (_clock, dispatcher, link):
                await until(lambda: dispatcher.is_live)
                before = link.connection
                link._opened_s -= 1  # the clock stands still, but it was heard after it was opened
                replica.die()
                await until(lambda: not dispatcher.is_live)
                assert link.connection is not before
                with ScriptedReplica(address=address):
                    await until(lambda: dispatcher.is_live)

    run(story())


def test_silence_takes_it_out_and_the_connection_is_made_anew():
    """Again and again, as TCP would wait ever longer; the first sign brings it back."""

    async def story():
        with _replica() as replica:
            async with _stage(replica.address) as (clock, dispatcher, link):
                await until(lambda: dispatcher.is_live)
                before = link.connection
                clock.now_s += SILENT_S - 0.01
                link.tick(clock.now_s)
                assert dispatcher.is_live
                assert link.connection is before
                before.last_heard_s = clock.now_s - SILENT_S - 0.01
                before.heartbeat = before.read = lambda *_: None  # the way is cut
                link.tick(clock.now_s)
                assert not dispatcher.is_live
                second = link.connection
                assert second is not before
                await until(lambda: dispatcher.is_live)
                link.detach(GONE)
                clock.now_s += REOPEN_S
                link.tick(clock.now_s)
                assert link.connection is not second

    run(story())


def test_those_that_share_its_silence_go_with_the_first():
    """So that no query goes from one that is cut off to another."""

    async def story():
        with _replica() as first, _replica() as second, _replica() as third:
            addresses = (first.address, second.address, third.address)
            async with _stage(*addresses) as (clock, dispatcher, *links):
                await until(lambda: len(dispatcher.slots) == 3)
                silent_s = (SILENT_S + 0.01, QUIET_S + 0.01, QUIET_S - 0.01)
                for link, each_s in zip(links, silent_s, strict=True):
                    link.connection.last_heard_s = clock.now_s - each_s
                suspect_silent(links[1:], clock.now_s)
                assert len(dispatcher.slots) == 3
                suspect_silent(links, clock.now_s)
                assert len(dispatcher.slots) == 1
                assert all(link.is_attached for link in links)
                for link in links:
                    link.tick(clock.now_s)
                assert [link.is_attached for link in links] == [False, False, True]

    run(story())


@pytest.mark.parametrize(
    ("info", "fault"),
    [
        ({"model": "n", "version": "1"}, "is a replica of n:1, not of m:1"),
        ({"model": "m", "version": "2"}, "is a replica of m:2, not of m:1"),
        ({"input_type": "strings"}, "takes strings, but m:1 is registered for doubles"),
        ({"bundle": "old"}, f"holds the bundle old, but m:1 is registered with {ONE.bundle}"),
    ],
    ids=["model", "version", "type", "bundle"],
)
def test_a_replica_of_something_else_gets_nothing(caplog, info, fault):
    """Its address may have been given away; that is said once."""

    async def story():
        with _replica() as replica:
            replica.info = info
            async with _stage(replica.address) as (_clock, dispatcher, _link):
                await until(lambda: _errors(caplog))
                replica.announce(protocol.READY)
                assert dispatcher.misfits == 1
                replica.info = {"model": "m", "version": "1", "input_type": "doubles"}
                replica.info["bundle"] = ONE.bundle
                replica.announce(protocol.READY)
                await until(lambda: dispatcher.is_live)
                assert dispatcher.misfits == 0

    run(story())
    (message,) = _errors(caplog)
    assert f" {fault}: it gets no queries" in message


def test_one_that_becomes_another_model_gets_nothing_more(caplog):
    """What is at its address may be replaced while the connection is made anew."""

    async def story():
        with _replica() as replica:
            replica.info = {"bundle": ONE.bundle}
            async with _stage(replica.address) as (_clock, dispatcher, _link):
                await until(lambda: dispatcher.is_live)
                replica.info = {"bundle": "another"}
                replica.announce(protocol.READY)
                await until(lambda: not dispatcher.is_live)
                assert dispatcher.misfits == 1

    run(story())
    assert "holds the bundle another" in _errors(caplog)[0]


def test_a_replica_of_version_1_is_in_rotation(caplog):
    """Images that were built before speak it: it gets queries, and nothing is reported."""

    async def story():
        with _replica() as replica:
            replica.version = 1
            async with _stage(replica.address) as (_clock, dispatcher, link):
                await until(lambda: dispatcher.is_live)
                assert link.connection.spoken == 1

    run(story())
    assert not _errors(caplog)


def test_another_protocol_version_is_reported(caplog):
    """It gets nothing, and that is said once."""

    async def story():
        with _replica() as replica:
            replica.version = 3
            async with _stage(replica.address) as (_clock, dispatcher, link):
                for count in range(3):
                    link.connection.heartbeat()
                    await until(lambda count=count: replica.heartbeats > count)
                await until(lambda: _errors(caplog))
                assert not dispatcher.is_live

    run(story())
    (message,) = _errors(caplog)
    assert "speaks version 3 of the replica protocol" in message


def test_a_replica_that_refuses_the_keys_is_reported(caplog):
    """Here it has none at all; the connection is left to ZeroMQ, which tries at its own pace."""
    texts = {name: text.encode() for name, text in generate().items()}
    keys = CurveKeys(
        replica_public=texts["replica.public"],
        frontend_public=texts["frontend.public"],
        frontend_secret=texts["frontend.secret"],
    )

    async def story():
        with _replica() as replica:
            async with _stage(replica.address, curve=keys) as (_clock, dispatcher, link):
                before = link.connection
                await until(lambda: _errors(caplog))
                assert not dispatcher.is_live
                assert link.connection is before

    run(story())
    assert "CURVE key" in _errors(caplog)[0]

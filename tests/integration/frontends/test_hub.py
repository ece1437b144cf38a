"""The daemon's end of the feed, with frontends that tests play over the real socket."""

# ruff: noqa: D102 - the stand-ins have the methods of the parts they play

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servd.clock import monotonic
from servd.config import Config, load_config
from servd.datatypes import Application, End, InputType, RegistryState
from servd.errors import ConfigError
from servd.frontends import feed
from servd.frontends import hub as frontends
from servd.frontends.hub import Frontends, Listener
from servd.metrics.counts import Count
from servd.registry.snapshot import unpack_state
from tests.replicas import version_of
from tests.serving import Owner, run, until

STATE = RegistryState(
    applications={"a": Application(name="a", input_type=InputType.DOUBLES, slo_us=1000)}
)


class Player(Listener):
    """Plays frontends; remembers what the daemon's end says of them."""

    def __init__(self, daemon, config):
        self.daemon = daemon
        self.heard = []
        self._path = config.feed_socket
        self._writers = []
        daemon.listener = self

    def on_listening(self, number):
        self.heard.append(("listening", number))

    def on_leaving(self, number):
        self.heard.append(("leaving", number))

    def on_hanging(self, number):
        self.heard.append(("hanging", number))

    async def join(self, number):
        """Connect a frontend and read its first three messages."""
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        self._writers.append(writer)
        peer = Peer(reader, writer)
        peer.say(feed.Hello(number))
        first = [await peer.hear() for _ in range(3)]
        assert [type(message) for message in first] == [
            feed.Welcome,
            feed.Snapshot,
            feed.CountReport,
        ]
        peer.say(feed.Applied(first[1].number))
        return peer

    async def end(self):
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()


class Peer:
    """A frontend's end of the feed."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def say(self, message):
        self.writer.write(feed.encode(message))

    async def hear(self):
        return feed.decode_from_daemon(await self.reader.readline())


@asynccontextmanager
async def _playing(tmp_path):
    config = Config(data_dir=tmp_path, frontends=2)
    config.run_dir.mkdir(mode=0o700, exist_ok=True)
    async with Frontends(config, monotonic) as daemon:
        player = Player(daemon, config)
        try:
            yield player
        finally:
            await player.end()
    assert not config.feed_socket.exists()


def test_a_change_is_settled_when_all_have_applied_it(tmp_path):
    """One acknowledgement of two is not enough."""

    async def story():
        async with _playing(tmp_path) as player:
            one, two = await player.join(0), await player.join(1)
            player.daemon.apply(STATE)
            settled = asyncio.ensure_future(player.daemon.settled())
            for peer in (one, two):
                snapshot = await peer.hear()
                assert unpack_state(snapshot.registry) == STATE
                assert not settled.done()
                peer.say(feed.Applied(snapshot.number))
            await settled
            assert player.heard == []

    run(story())


def test_one_that_does_not_apply_a_change_is_ended(tmp_path, monkeypatch):
    """The change is acknowledged without it after the time."""
    monkeypatch.setattr(frontends, "APPLY_S", 0.01)

    async def story():
        async with _playing(tmp_path) as player:
            await player.join(0)
            player.daemon.apply(STATE)
            await player.daemon.settled()
            assert player.heard == [("hanging", 0)]
            await player.daemon.settled()

    run(story())


def test_one_that_has_gone_is_not_waited_for(tmp_path):
    """A frontend that dies while a change is on its way does not hold it up."""

    async def story():
        async with _playing(tmp_path) as player:
            peer = await player.join(0)
            player.daemon.apply(STATE)
            settled = asyncio.ensure_future(player.daemon.settled())
            await peer.hear()
            peer.writer.close()
            await settled
            assert player.heard == []

    run(story())


def test_a_replica_is_in_flight_until_each_frontend_has_drained_it(tmp_path):
    """The seat says draining; acknowledgements and a frontend's end empty it."""

    async def story():
        async with _playing(tmp_path) as player:
            one, two = await player.join(0), await player.join(1)
            daemon = player.daemon
            watched = daemon.connect("ipc:///nowhere", Owner())
            rotation = daemon.prepare(version_of())
            watched.spoken = 2  # as it does once it has said so
            rotation.attach(watched)
            [seat] = (await one.hear()).replicas
            assert (seat.address, seat.is_draining, seat.spoken) == (watched.address, False, 2)
            assert not watched.unanswered()
            one.say(feed.CountReport(frontend=0, oldest={watched.address: 4}))
            await until(lambda: list(watched.unanswered()) == [(0, 4)])
            rotation.drain(watched)
            assert len(watched.unanswered()) == 2
            one.say(feed.Drained(watched.address))
            await until(lambda: list(watched.unanswered()) == [(1, None)])
            two.writer.close()
            await until(lambda: not watched.unanswered())
            rotation.detach(watched, End("ended (exit 7)"))
            message = await one.hear()
            while not isinstance(message, feed.Snapshot) or message.replicas:
                message = await one.hear()
            assert message.ends == {watched.address: End("ended (exit 7)")}
            daemon.publish()
            while not isinstance(again := await one.hear(), feed.Snapshot):
                pass
            assert not again.ends

    run(story())


def test_reports_are_summed_and_passed_on_to_all(tmp_path):
    """The daemon's sums, those of a replica and the other frontend's all grow."""

    async def story():
        async with _playing(tmp_path) as player:
            one, two = await player.join(0), await player.join(1)
            daemon = player.daemon
            watched = daemon.connect("ipc:///nowhere", Owner())
            daemon.prepare(version_of()).attach(watched)
            daemon.apply(STATE)
            await two.hear()
            report = feed.CountReport(
                frontend=0,
                applications={"a": Count(queries=2)},
                replicas={watched.address: Count(queries=2)},
            )
            one.say(report)
            one.say(feed.Listening())
            one.say(feed.Leaving())
            assert await two.hear() == report
            assert daemon.totals.by_name["a"].counters.queries == 2
            assert watched.counters.queries == 2
            await until(lambda: player.heard == [("listening", 0), ("leaving", 0)])

    run(story())


def test_nonsense_ends_a_connection_and_nothing_else(tmp_path):
    """Another frontend's feed goes on."""

    async def story():
        async with _playing(tmp_path) as player:
            one, two = await player.join(0), await player.join(1)
            two.writer.write(b"nonsense\n")
            assert feed.CountReport(frontend=1) == await one.hear()
            player.daemon.apply(STATE)
            assert isinstance(await one.hear(), feed.Snapshot)

    run(story())


@pytest.mark.parametrize("value", ["0", "-1", "two", "1000", ""])
def test_a_number_of_frontends_is_checked(value, tmp_path):
    """The error says where the value stands and what may be given."""
    with pytest.raises(ConfigError, match=r"--frontends: .* \(1 to 64\)"):
        load_config({"frontends": value}, {}, tmp_path)


def test_a_number_of_frontends_comes_from_the_usual_places(tmp_path):
    """One is the default; the variable and the file set it too."""
    assert load_config({}, {}, tmp_path).frontends == 1
    assert load_config({}, {"SERVD_FRONTENDS": "3"}, tmp_path).frontends == 3
    (Path(tmp_path) / "servd.toml").write_text("frontends = 2\n")
    assert load_config({}, {}, tmp_path).frontends == 2

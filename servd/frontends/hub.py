"""The daemon's end of the feed: what it shows its front-end processes and hears of them.

Takes the engine's place where the daemon itself answers no queries (`--frontends N`): deployer.py
and supervisor.py change it, metrics/exposition.py reads its `totals`. pool.py keeps the
processes.
"""

import asyncio
from collections.abc import Collection, Iterator
from typing import Self

import msgspec
import zmq

from model_runtime.attention import Attention
from servd.carriers.carriers import Carry, carry
from servd.carriers.curve import keys_for
from servd.clock import Clock
from servd.config import Config
from servd.datatypes import GONE, End, ModelVersion, RegistryState, VersionId
from servd.engine.rpc import ReplicaConnection, ReplicaOwner
from servd.frontends import feed
from servd.frontends.totals import Totals
from servd.logs.log import log
from servd.metrics.counts import add
from servd.registry.snapshot import pack_state
from servd.system import peers
from servd.system.kept_socket import KeptSocket
from servd.system.patience import patiently

APPLY_S = 1.0
"""A frontend that has not applied a change by then is ended; the change is acknowledged."""

SECOND_S = 1.0
SILENT_S = 12.0
"""A frontend reports every second; one that is silent for so long hangs and is ended."""


class Peer:
    """One connected frontend: its number and the last snapshot it applied."""

    def __init__(self, number: int, writer: asyncio.StreamWriter, now_s: float) -> None:
        self.number = number
        self.applied = 0
        self.last_heard_s = now_s
        self._writer = writer

    def send(self, line: bytes) -> None:
        """Send a message; one that has gone misses it."""
        if not self._writer.is_closing():
            self._writer.write(line)


class Watched(ReplicaConnection):
    """The daemon's own connection to a replica that front-end processes send the queries to.

    Heartbeats and states are its own; what is in flight and counted is what the frontends say.
    """

    def __init__(self, address: str, owner: ReplicaOwner, carry: Carry, clock: Clock) -> None:
        super().__init__(address, owner, carry, clock)
        self.is_draining = False
        self._oldest: dict[int, int | None] = {}

    def unanswered(self) -> Collection[tuple[int, int | None]]:
        """Return the oldest batch of each frontend that has any at it.

        While it drains, of each that has not said yet that it has none.
        """
        return self._oldest.items()

    def owed(self) -> Iterator[tuple[int, int | None]]:
        """Return the same, each with what that frontend should long have been answered."""
        return iter(self._oldest.items())

    def drain(self, frontends: Collection[int]) -> None:
        """Wait for these frontends to have nothing in flight. Called by the rotation."""
        if not self.is_draining:
            self.is_draining = True
            self._oldest = {number: self._oldest.get(number) for number in frontends}

    def on_drained(self, frontend: int) -> None:
        """Take the news that a frontend has nothing at it, or is gone."""
        self._oldest.pop(frontend, None)

    def on_report(self, frontend: int, oldest: int | None) -> None:
        """Take a frontend's oldest batch in flight; None where there is none."""
        if self.is_draining:
            if frontend in self._oldest:
                self._oldest[frontend] = oldest
        elif oldest is None:
            self._oldest.pop(frontend, None)
        else:
            self._oldest[frontend] = oldest


class Rotation:
    """The replicas of one version that frontends may use (`LoadingRoutes` of replicas)."""

    def __init__(self, version: ModelVersion, frontends: "Frontends") -> None:
        self.version = version
        self.members: dict[str, Watched] = {}
        self._loading: set[object] = set()
        self._frontends = frontends

    def attach(self, connection: Watched) -> None:
        """Let the frontends give it queries."""
        self.members[connection.address] = connection
        self._frontends.publish()

    def drain(self, connection: Watched) -> None:
        """Let them give it nothing new; it is in flight until each has said that it is not."""
        connection.drain(self._frontends.numbers())
        self._frontends.publish()

    def detach(self, connection: Watched, end: End = GONE) -> None:
        """Have them take back what it has in flight."""
        self.members.pop(connection.address, None)
        self._frontends.ends[connection.address] = end
        self._frontends.publish()

    @property
    def is_loading(self) -> bool:
        """Whether a replica is being brought up."""
        return bool(self._loading)

    def mark_loading(self, who: object, *, is_loading: bool) -> None:
        """Have queries that no replica can answer told that one is being brought up, or no more."""
        was_loading = self.is_loading
        (self._loading.add if is_loading else self._loading.discard)(who)
        if self.is_loading is not was_loading:
            self._frontends.publish()

    def seats(self) -> list[feed.ReplicaSeat]:
        """Return the members as the feed shows them."""
        return [
            feed.ReplicaSeat(
                model=self.version.model,
                version=self.version.version,
                address=address,
                row_items=watched.row_items,
                spoken=watched.spoken,
                http=watched.http,
                is_draining=watched.is_draining,
            )
            for address, watched in self.members.items()
        ]


class Listener:
    """Who is told of frontends; pool.py has the methods."""

    def on_listening(self, number: int) -> None:
        """A frontend answers queries."""

    def on_leaving(self, number: int) -> None:
        """A frontend was told to end and takes nothing new."""

    def on_hanging(self, number: int) -> None:
        """A frontend does not follow: it must be ended."""


class Frontends:
    """What all frontends see. An async context manager: the feed's socket is open inside.

    `ends` says how replicas ended that the next snapshot shows no more.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self.totals = Totals(clock)
        self.listener = Listener()
        self.ends: dict[str, End] = {}
        self._config = config
        self._clock = clock
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._state = RegistryState()
        self._rotations: dict[VersionId, Rotation] = {}
        self._peers: dict[int, Peer] = {}
        self._number = 0
        self._is_dirty = False
        self._is_ready = False
        self._acknowledged = asyncio.Event()
        self._socket: KeptSocket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._attention = Attention(clock, SECOND_S)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader(feed.MAX_LINE_BYTES, loop)
            return asyncio.StreamReaderProtocol(reader, self._serve_peer, loop)

        self._socket = KeptSocket(self._config.feed_socket, protocol)
        await self._socket.__aenter__()
        self._on_second()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            await self._socket.__aexit__()
        self._context.destroy(linger=0)

    # --- in the engine's place: called by deployer.py and supervisor.py ---

    def apply(self, state: RegistryState) -> None:
        """Have queries routed by this state. `settled` tells when they are."""
        self._state = state
        for version in state.versions.values():
            self.prepare(version)
        self.publish()

    def prepare(self, version: ModelVersion) -> Rotation:
        """Return a version's rotation, made if there is none yet."""
        rotation = self._rotations.get(version.id)
        if rotation is None:
            rotation = self._rotations[version.id] = Rotation(version, self)
            self.publish()
        return rotation

    def forget(self, version_id: VersionId) -> None:
        """Drop a version."""
        if self._rotations.pop(version_id, None) is not None:
            self.publish()

    def connect(self, address: str, owner: ReplicaOwner) -> Watched:
        """Return the daemon's own connection to a replica, for its state and heartbeats."""
        keys = keys_for(address, self._config.curve_dir)
        return Watched(address, owner, carry(address, self._context, keys), self._clock)

    async def settled(self) -> None:
        """Return when every frontend has applied all changes, or was found hanging."""
        self._flush()
        number = self._number

        async def applied() -> None:
            while any(peer.applied < number for peer in self._peers.values()):
                await self._acknowledged.wait()

        await patiently(APPLY_S, applied)
        for peer in [peer for peer in self._peers.values() if peer.applied < number]:
            self._end(peer, f"has not applied a change within {APPLY_S:g} s")

    def set_ready(self) -> None:
        """Have the frontends tell probers from now on that queries are welcome."""
        self._is_ready = True
        self.publish()

    def tell_ending(self, drain_s: float) -> None:
        """Tell the frontends how long queries may take at the stop that has begun."""
        line = feed.encode(feed.Ending(drain_s))
        for peer in self._peers.values():
            peer.send(line)

    # --- the feed ---

    def numbers(self) -> set[int]:
        """Return which frontends are connected."""
        return set(self._peers)

    def publish(self) -> None:
        """Show the frontends what there is, at the end of this tick: changes come in groups."""
        if not self._is_dirty:
            self._is_dirty = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if not self._is_dirty:
            return
        self._is_dirty = False
        self._number += 1
        snapshot = self._snapshot()
        self.ends = {}
        self.totals.apply(self._state, self._rotations, snapshot.replicas)
        line = feed.encode(snapshot)
        for peer in self._peers.values():
            peer.send(line)

    def _snapshot(self) -> feed.Snapshot:
        rotations = self._rotations.values()
        return feed.Snapshot(
            number=self._number,
            registry=pack_state(self._state),
            prepared=[r.version for r in rotations if r.version.id not in self._state.versions],
            replicas=[seat for rotation in rotations for seat in rotation.seats()],
            loading=[str(r.version.id) for r in rotations if r.is_loading],
            is_ready=self._is_ready,
            ends=self.ends,
        )

    async def _serve_peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = None
        try:
            if not peers.may_act(peers.unix_peer(writer.get_extra_info("socket"))[1]):
                return
            hello = feed.decode_from_frontend(await reader.readline())
            if isinstance(hello, feed.Hello):
                peer = self._welcome(hello.frontend, writer)
                while line := await reader.readline():
                    peer.last_heard_s = self._clock()
                    self._on_message(peer, feed.decode_from_frontend(line))
        except OSError:
            pass  # it has gone: pool.py says how it ended
        except (ValueError, msgspec.MsgspecError) as error:
            log.warning("a frontend sent what the feed does not know: %s", error)
        finally:
            if peer is not None:
                self._on_gone(peer)
            writer.close()

    def _welcome(self, number: int, writer: asyncio.StreamWriter) -> Peer:
        peer = Peer(number, writer, self._clock())
        peer.send(feed.encode(feed.Welcome(feed.settings_of(self._config))))
        self._flush()
        peer.send(feed.encode(self._snapshot()))
        peer.send(feed.encode(self.totals.history()))
        self._peers[number] = peer
        return peer

    def _on_message(self, peer: Peer, message: feed.FromFrontend) -> None:
        if isinstance(message, feed.CountReport):
            self._on_report(message)
        elif isinstance(message, feed.Applied):
            peer.applied = message.number
            self._wake()
        elif isinstance(message, feed.Drained):
            for watched in self._watched():
                if watched.address == message.address:
                    watched.on_drained(peer.number)
        elif isinstance(message, feed.Listening):
            self.listener.on_listening(peer.number)
        elif isinstance(message, feed.Leaving):
            self.listener.on_leaving(peer.number)

    def _on_report(self, report: feed.CountReport) -> None:
        self.totals.add(report)
        for watched in self._watched():
            watched.on_report(report.frontend, report.oldest.get(watched.address))
            count = report.replicas.get(watched.address)
            if count is not None:
                add(watched.counters, count)
        line = feed.encode(report)
        for peer in self._peers.values():
            peer.send(line)

    def _on_gone(self, peer: Peer) -> None:
        if self._peers.get(peer.number) is peer:
            del self._peers[peer.number]
        for watched in self._watched():
            watched.on_drained(peer.number)
        self._on_report(feed.CountReport(frontend=peer.number))
        self._wake()

    def _wake(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, asyncio.Event()
        acknowledged.set()

    def _end(self, peer: Peer, why: str) -> None:
        log.error("frontend %d %s: it is ended", peer.number, why)
        self._peers.pop(peer.number, None)
        self.listener.on_hanging(peer.number)

    def _watched(self) -> list[Watched]:
        return [w for rotation in self._rotations.values() for w in rotation.members.values()]

    def _on_second(self) -> None:
        now_s = self._clock()
        missed_s = self._attention.missed_s()
        self.totals.end_second()
        for watched in self._watched():
            watched.counters.end_second(now_s)
        for peer in list(self._peers.values()):
            peer.last_heard_s += missed_s
            if now_s - peer.last_heard_s > SILENT_S:
                self._end(peer, f"was silent for {SILENT_S:g} s")
        self._timer = asyncio.get_running_loop().call_later(SECOND_S, self._on_second)

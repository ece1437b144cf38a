"""One replica on another host, as a front end on a cluster sees it. Made and driven by cluster.py.

Nobody watches over the replica for it: what it says of itself, the end of its TCP connection and
its silence are all there is to go by.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from model_runtime import protocol
from model_runtime.carriers import TLS_SCHEME
from model_runtime.tls import Identity
from servd.carriers.carriers import Carrier, Carry, OnFrames, ZmqCarrier
from servd.carriers.curve import CurveKeys
from servd.carriers.tls_carrier import TlsCarrier
from servd.clock import Clock
from servd.datatypes import OTHER, SILENT, End
from servd.engine.dispatcher import Dispatcher
from servd.engine.engine import Engine
from servd.engine.rpc import ReplicaConnection
from servd.frontends.feed import ReplicaSeat
from servd.replicas.announced import misfit
from servd.replicas.link import Link

logger = logging.getLogger(__name__)

TICK_S: Final = 0.25
"""Heartbeats, and looks at who is silent, are so far apart."""

QUIET_S: Final = 1.0
"""When one replica has been found silent, those that said nothing for so long share its fate: a
link that was cut takes several, and their queries must not go from one to the other."""

REOPEN_S: Final = 1.0
"""A silent connection is made anew so often: TCP waits ever longer before it tries a path again."""


@dataclass(frozen=True, slots=True)
class Keys:
    """By what replicas know this front end and it knows them: on `tcp://`, and on `tls://`."""

    curve: CurveKeys | None = None
    tls: Identity | None = None


_EVENTS: Final = (
    zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


class MonitoredCarrier(ZmqCarrier):
    """A carrier that tells when its TCP connection has ended, or was refused."""

    def __init__(
        self,
        address: str,
        engine: Engine,
        on_frames: OnFrames,
        curve: CurveKeys | None,
        link: "RemoteLink",
    ) -> None:
        super().__init__(address, engine.context, on_frames, curve)
        self._link = link
        self._monitor: zmq.Socket[bytes] | None = None

    def open(self) -> None:
        """Connect and listen for the end."""
        self._context.setsockopt(zmq.IPV6, 1)  # IPv4 goes on working
        super().open()
        assert self._socket is not None  # noqa: S101  # it was just made
        self._monitor = self._socket.get_monitor_socket(int(_EVENTS))
        asyncio.get_running_loop().add_reader(self._monitor.FD, self._on_event)
        self._on_event()  # the descriptor says nothing before EVENTS has been asked once

    def close(self) -> None:
        """Let go of the socket and of its monitor."""
        monitor, self._monitor = self._monitor, None
        if monitor is not None and self._socket is not None:
            asyncio.get_running_loop().remove_reader(monitor.FD)
            self._socket.disable_monitor()
            monitor.close(linger=0)
        super().close()

    def _on_event(self) -> None:
        # The descriptor is edge-triggered, as that of the socket is (carriers.py).
        while self._monitor is not None and int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
            self.read()  # what it said before it ended
            if event == zmq.EVENT_DISCONNECTED:
                self._link.on_end()
            else:
                self._link.complain("refuses this front end's CURVE key, or has none: see --curve")


class RemoteConnection(ReplicaConnection):
    """A connection whose link hears of a replica that speaks another version of the protocol."""

    def __init__(self, address: str, link: "RemoteLink", carry: Carry, clock: Clock) -> None:
        super().__init__(address, link, carry, clock)
        self._link = link

    def _on_state(self, header: list[Any]) -> None:
        # Told once here; the connection would log it for each of four states a second.
        if header[1] not in protocol.VERSIONS:
            self._link.complain(
                f"speaks version {header[1]} of the replica protocol, "
                f"this front end version {protocol.PROTOCOL_VERSION}"
            )
        else:
            super()._on_state(header)


class RemoteLink(Link[Dispatcher]):
    """A link whose connection is made anew when it is lost.

    It is in rotation from when the replica says that it is ready until it says otherwise, falls
    silent or hangs up.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        address: str,
        connect: Callable[["RemoteLink"], RemoteConnection],
    ) -> None:
        super().__init__(dispatcher, address)
        self._connect = connect
        self._opened_s = 0.0
        self._is_suspect = False

    def begin(self) -> None:
        """Connect; the replica's answer says whether it is ready."""
        self.open(self._connect(self))
        self._opened_s = self.connection.last_heard_s

    def close(self, end: End = SILENT) -> None:
        """Give what is in flight to other replicas and disconnect."""
        super().close(end)
        self.routes.mark_misfit(self, is_misfit=False)

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Follow what the replica says of itself."""
        if self.is_draining:
            return
        if state == protocol.READY:
            # An address may have been given to another pod before the name service says so.
            fault = misfit(self.routes.version, info)
            self.routes.mark_misfit(self, is_misfit=bool(fault))
            if fault:
                self.detach(OTHER)
                self.complain(fault)
            elif not self.is_attached:
                logger.info("%s is in rotation for %s", self.name, self.routes.id)
                self.attach()
        elif state == protocol.DRAINING:
            self.pause()
        else:
            self.detach(SILENT)

    def on_end(self) -> None:
        """Take the news that the connection has ended: the replica has, or is being replaced."""
        if self.is_attached:
            logger.warning("%s hung up: out of rotation", self.name)
            self.detach(End("hung up"))
        if not self.is_draining and self.connection.last_heard_s > self._opened_s:
            self._reopen()  # one that refuses every handshake is left to the carrier's patience

    def on_refused(self, why: str) -> None:
        """Take the news that there is no TLS between the replica and this front end."""
        self.complain(f"and this front end do not know each other ({why}; see --tls)")

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence."""
        super().excuse(missed_s)
        self._opened_s += missed_s

    def suspect(self) -> None:
        """Send nothing new until `tick`, which takes it out."""
        self._is_suspect = True
        self.pause()

    def tick(self, now_s: float) -> None:
        """Take a silent one out, and try another way to it; send a heartbeat."""
        if self._is_suspect or self.is_silent(now_s):
            self._is_suspect = False
            self.leave(now_s)
        is_lost = now_s - max(self.connection.last_heard_s, self._opened_s) >= REOPEN_S
        if is_lost and not self.is_attached and not self.is_draining:
            self._reopen()
        self.connection.heartbeat()

    def _reopen(self) -> None:
        self.connection.close()
        self.begin()


def open_remote_link(engine: Engine, seat: ReplicaSeat, keys: Keys) -> RemoteLink:
    """Return an open link to a replica; what a follower calls for each new one."""
    address = seat.address

    def connect(link: RemoteLink) -> RemoteConnection:
        def carry(on_frames: OnFrames, on_reconnected: Callable[[], None]) -> Carrier:
            if not address.startswith(TLS_SCHEME):
                return MonitoredCarrier(address, engine, on_frames, keys.curve, link)
            return TlsCarrier(
                address,
                keys.tls,
                on_frames,
                on_end=link.on_end,
                on_refused=link.on_refused,
                on_reconnected=on_reconnected,
            )

        return RemoteConnection(address, link, carry, engine.clock)

    link = RemoteLink(engine.dispatcher(seat.version_id), address, connect)
    link.begin()
    return link


def suspect_silent(links: Iterable[RemoteLink], now_s: float) -> None:
    """Stop sending to all that are silent, before what they have is given to others."""
    attached = [link for link in links if link.is_attached]
    if any(link.is_silent(now_s) for link in attached):
        for link in attached:
            if link.silence_s(now_s) > QUIET_S:
                link.suspect()

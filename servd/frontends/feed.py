"""What the daemon and its front-end processes say to each other: one JSON text a line.

Over a unix socket in the run directory. The daemon's end is hub.py, the other is
frontend.py. The daemon's `Snapshot` is whole each time, so that applying the newest is enough;
its number is acknowledged by `Applied`.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from servd.config import Config
from servd.datatypes import End, ModelVersion, VersionId
from servd.metrics.counts import Count
from servd.registry.snapshot import Registered

MAX_LINE_BYTES: Final = 256 * 1024 * 1024
"""The longest message: a registry's whole state has to fit."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's settings that a frontend needs; `cache_bytes` is its share."""

    bind: str
    query_port: int
    cache_bytes: int
    log_level: str
    drain_s: float
    predict_timeout_s: float
    max_body_bytes: int
    max_rows: int
    max_values: int
    max_ratio: int
    public_queries: bool
    show_errors: bool | None
    cors: tuple[str, ...]
    token: str | None


class ReplicaSeat(msgspec.Struct, frozen=True, kw_only=True):
    """A replica in rotation; while `is_draining` it gets nothing new and answers what it has.

    `spoken` is the version of the replica protocol that it speaks, 0 where that is not known;
    `http` is where a web application answers.
    """

    model: str
    version: str
    address: str
    row_items: int | None = None
    spoken: int = 0
    http: str | None = None
    is_draining: bool = False

    @property
    def version_id(self) -> VersionId:
        """The version that it computes."""
        return VersionId(self.model, self.version)


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The daemon's first message."""

    settings: Settings


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """Everything to follow. `prepared` are versions with replicas that are not registered yet.

    `loading` are versions ("model:version") of which a replica is being brought up. `is_ready` is
    what probers are told. `ends` says of replicas that are not there any more how they ended, by
    address, once.
    """

    number: int
    registry: Registered
    prepared: list[ModelVersion] = []
    replicas: list[ReplicaSeat] = []
    loading: list[str] = []
    is_ready: bool = True
    ends: dict[str, End] = {}


class Ending(msgspec.Struct, frozen=True, tag="ending"):
    """The daemon stops and gives open queries that long. SIGTERM says when."""

    drain_s: float


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """A frontend's figures that go up and down; by version as "model:version"."""

    queued: dict[str, int] = {}
    limits: dict[str, list[int]] = {}
    cache_bytes: int = 0
    cache_limit_bytes: int = 0


class CountReport(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """What a frontend has counted since its last report; the daemon passes it on to all.

    `replicas` is by address; `oldest` holds the oldest batch in flight of each replica that has
    one. None for `gauges` says that the frontend has ended.
    """

    frontend: int
    applications: dict[str, Count] = {}
    versions: dict[str, Count] = {}
    replicas: dict[str, Count] = {}
    oldest: dict[str, int] = {}
    evictions: int = 0
    gauges: Gauges | None = None


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A frontend's first message: which of the daemon's processes it is."""

    frontend: int


class Applied(msgspec.Struct, frozen=True, tag="applied"):
    """The snapshot of that number, and so all before it, is in force."""

    number: int


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """A replica that was to be drained has nothing of this frontend's in flight."""

    address: str


class Listening(msgspec.Struct, frozen=True, tag="listening"):
    """Queries are answered from now on."""


class Leaving(msgspec.Struct, frozen=True, tag="leaving"):
    """The frontend was told to end: it answers what it has and takes nothing new."""


FromDaemon = Welcome | Snapshot | CountReport | Ending
FromFrontend = Hello | Applied | Drained | Listening | Leaving | CountReport


def encode(message: FromDaemon | FromFrontend) -> bytes:
    """Return a message as a line."""
    return msgspec.json.encode(message) + b"\n"


decode_from_daemon: Callable[[bytes], FromDaemon] = msgspec.json.Decoder(FromDaemon).decode
"""Returns the daemon's message of a line, or raises a MsgspecError."""

decode_from_frontend: Callable[[bytes], FromFrontend] = msgspec.json.Decoder(FromFrontend).decode
"""Returns a frontend's message of a line, or raises a MsgspecError."""


def settings_of(config: Config) -> Settings:
    """Return what each of the configured frontends needs to know."""
    own = {name: getattr(config, name) for name in Settings.__struct_fields__}
    return Settings(**(own | {"cache_bytes": config.cache_bytes // config.frontends}))

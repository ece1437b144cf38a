"""What the clients return: frozen values, made of the daemon's JSON. Used by whoever calls them.

Fields that a later daemon adds are left out; those that an older one lacks have their defaults.
"""

from typing import Any, TypeVar

import msgspec

from servd.errors import ServdError

T = TypeVar("T")

Json = Any
"""A value that JSON can say."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that the daemon has told."""


class Prediction(Value, frozen=True):
    """The answer to one input.

    `is_default`: the application's default output, as the model gave none in time, and
    `explanation` says why. `query_id` is the daemon's number for it, under which its log has it.
    """

    output: Json
    is_default: bool = False
    explanation: str = ""
    query_id: int | None = None
    is_cached: bool = False


class Application(Value, frozen=True):
    """A name that answers queries; also at paths without one where it `is_default`.

    `slo_us` is its objective in microseconds.
    """

    name: str
    input_type: str
    slo_us: int
    default_output: str | None = None
    policy: str = "default"
    linked_models: tuple[str, ...] = ()
    query_url: str = ""
    is_default: bool = False

    @property
    def slo_ms(self) -> float:
        """Its objective in milliseconds."""
        return self.slo_us / 1000


class Version(Value, frozen=True):
    """A version of a model. `replicas` are wanted, `ready` are there.

    `signature` is what it says of its inputs and outputs, None where it says nothing; `source` the
    file that it was deployed from; `max_batch` -1: it adapts.
    """

    model: str
    version: str
    input_type: str
    is_current: bool = False
    replicas: int = 0
    ready: int = 0
    max_batch: int = -1
    batching: str = "aimd"
    batch_wait_us: int = 0
    labels: tuple[str, ...] = ()
    container_name: str = ""
    runtime: str = "process"
    bundle: str | None = None
    image: str | None = None
    image_digest: str | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    gpus: str | None = None
    created_s: float = 0.0
    source: str | None = None
    signature: dict[str, Any] | None = None
    is_cached: bool = True
    device: str | None = None
    threads: int | None = None
    env_vars: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    environment: str | None = None


class Model(Value, frozen=True):
    """A model with its versions, oldest first; `current_version` answers."""

    name: str
    current_version: str | None = None
    versions: tuple[Version, ...] = ()


class VersionName(Value, frozen=True):
    """A model and a version of it."""

    model: str
    version: str


class Replica(Value, frozen=True):
    """A row of `servd ps`: rates are over the last seconds."""

    model: str
    version: str
    replica: int
    state: str
    application: str | None = None
    pid: int | None = None
    restarts: int = 0
    requests_per_s: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    mean_batch: float | None = None
    default_ratio: float | None = None
    memory_bytes: int | None = None
    runtime: str = "process"
    last_error: str | None = None
    test_ms: float | None = None
    slo_ms: float | None = None
    device: str | None = None
    limits: tuple[str, ...] = ()
    environment: str | None = None


class Route(Value, frozen=True):
    """A further path of an application; `takes` and `gives` are keys of bodies, None: bare ones."""

    method: str
    path: str
    app: str
    takes: str | None = None
    gives: str | None = None
    is_batch: bool = False
    query_url: str = ""


class Status(Value, frozen=True):
    """The daemon: where it answers, what it has, and the settings that it runs with."""

    version: str
    pid: int
    query_url: str
    admin_url: str
    uptime_s: float = 0.0
    admin_socket: str = ""
    data_dir: str = ""
    applications: int = 0
    models: int = 0
    replicas: int = 0
    memory_bytes: int = 0
    has_token: bool = False
    loading: tuple[str, ...] = ()
    python: str = ""
    prefix: str = ""
    settings: dict[str, Any] = {}


class LoadedReplica(Value, frozen=True):
    """A replica that a deployment has brought up; `test` is what came of its test call."""

    replica: int | None = None
    pid: int | None = None
    device: str | None = None
    limits: tuple[str, ...] = ()
    duration_ms: float | None = None
    test: dict[str, Any] = {}


class Deployment(Value, frozen=True):
    """What came of a deployment.

    `state` is "live"; "unchanged" where the very same was there; "accepted" where it was not waited
    for. `app` is the application that it answers, with its `query_url` and its objective. `bundle`
    is the digest of its files. `warnings` are what may go wrong.
    """

    model: str
    version: str | None = None
    state: str = "live"
    app: str | None = None
    query_url: str | None = None
    slo_ms: float | None = None
    bundle: str | None = None
    signature: dict[str, Any] | None = None
    replicas: tuple[LoadedReplica, ...] = ()
    warnings: tuple[str, ...] = ()


def value_of(answer: Any, kind: type[T]) -> T:
    """Return the value that an answer of the admin API is.

    Raises:
        ServdError: it is none such.
    """
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ServdError(
            f"the daemon's answer is not one that this servd knows: {error}",
            hint="are both of the same version? servd status, servd --version",
        ) from error

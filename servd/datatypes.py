"""The nouns: input types, applications, model versions, replicas. Used by every layer.

All are immutable; a change makes a new value (`msgspec.structs.replace`).
"""

import enum
from typing import Any, Final, NamedTuple

import msgspec

from model_runtime.signature import Signature
from servd.errors import UnknownInputTypeError

ADAPTIVE_BATCH = -1
"""`max_batch` of a version whose batch size adapts to the latency objective (Clipper's -1)."""

NO_CONTAINER = "NO_CONTAINER"
"""The image of a version that has none, as Clipper's clients know it."""


PROCESS = "process"
DOCKER = "docker"
"""The runtimes: replicas as processes of this machine, or as containers."""


_SECRET_LETTERS: Final = 6
"""Of the shortest value that is hidden where a model prints it: others are words as any."""


class Variables(dict[str, str]):
    """Variables of a model's environment with their values, which are shown to nobody."""

    def __repr__(self) -> str:
        return f"Variables({', '.join(self)})"

    @property
    def secrets(self) -> list[tuple[str, str]]:
        """What stands for what in texts that others read: values, or lines of them, and names.

        The longest first, as one may hold another. What is short is a word as any.
        """
        found = [
            (line, f"(the value of {name})")
            for name, value in self.items()
            for line in value.splitlines()
            if len(line) >= _SECRET_LETTERS
        ]
        return sorted(found, key=lambda pair: len(pair[0]), reverse=True)

    def hide(self, told: Any) -> Any:
        """Return what was told, in JSON's terms, with names in the place of values."""
        if isinstance(told, str):
            for value, name in self.secrets:
                told = told.replace(value, name)
            return told
        if isinstance(told, dict):
            return {key: self.hide(each) for key, each in told.items()}
        return [self.hide(each) for each in told] if isinstance(told, list) else told


class InputType(enum.StrEnum):
    """What one input of an application is. The value is the canonical word of the APIs."""

    BYTES = "bytes"
    INTEGERS = "integers"
    FLOATS = "floats"
    DOUBLES = "doubles"
    STRINGS = "strings"
    ANY = "any"
    ROWS = "rows"

    @property
    def item_bytes(self) -> int:
        """Bytes of one number of a numeric type; 0 for the others."""
        return _ITEM_BYTES.get(self, 0)

    @classmethod
    def parse(cls, word: str) -> "InputType":
        """Return the type that a canonical word or one of Clipper's aliases names.

        Raises:
            UnknownInputTypeError: no type has that name.
        """
        found = _ALIASES.get(word)
        if found is None:
            raise UnknownInputTypeError(word)
        return found


_ITEM_BYTES = {InputType.INTEGERS: 4, InputType.FLOATS: 4, InputType.DOUBLES: 8}
_ALIASES = {
    alias: input_type
    for input_type, aliases in {
        InputType.BYTES: ("bytes", "byte", "b"),
        InputType.INTEGERS: ("integers", "ints", "integer", "int", "i"),
        InputType.FLOATS: ("floats", "float", "f"),
        InputType.DOUBLES: ("doubles", "double", "d"),
        InputType.STRINGS: ("strings", "string", "str", "strs", "s"),
        InputType.ANY: ("any", "json"),
        InputType.ROWS: ("rows", "row", "dataframe", "records"),
    }.items()
    for alias in aliases
}


class Batching(enum.StrEnum):
    """What sizes the batches of a version whose `max_batch` adapts."""

    AIMD = "aimd"
    """Additive increase, multiplicative decrease: the paper's choice, and the default."""
    QUANTILE = "quantile"
    """The size at which the regression of the 99th percentile latency meets the target."""


class VersionId(NamedTuple):
    """The identity of a model version."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}:{self.version}"


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A name that answers queries: `/<name>/predict`.

    `default_output` is Clipper's text (nested as JSON in answers where it parses as JSON), or
    None where the application has none and a miss is an HTTP error instead.
    """

    name: str
    input_type: InputType
    slo_us: int
    default_output: str | None = None
    policy: str = "default"


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One deployable version of a model, as registered.

    `bundle` is the digest of the files a replica loads. `image` is what a container of it runs:
    with a bundle an image into which that is mounted, without one an image that is a replica by
    itself; None: servd builds one. `image_digest` is which image that name stood for when it was
    deployed: REPOSITORY@sha256:… where a registry has it, else the engine's own id; None: not
    known. A version with neither bundle nor image was only registered (its replicas, if
    any, are somebody else's: Clipper's "containerless"). `memory_bytes` and `cpus` are what each
    replica may use, `gpus` (`all`, a number or `device=0,1`) what each container may, None: no
    limit, no GPU. `device` is what each computes on (`cpu`, `cuda`, `cuda:N`, `auto`), None: as the
    machine has it. `threads` is how many each numeric library takes, None: by `cpus`. `env_vars`
    are the names of variables that its deployer has set; their values are in the registry's state.
    `replicas` is the desired number. `batch_wait_us` is the paper's delayed batching, `batching`
    counts where `max_batch` adapts. `signature` is what a replica of it has said of its inputs and
    outputs, None where none has. What it answers `is_cached`, unless the deployer says otherwise.
    Where it is a web application, `web` is of which kind (model_runtime/web/kinds.py): it has
    requests passed on to it as they come, and no inputs.
    """

    model: str
    version: str
    input_type: InputType
    labels: tuple[str, ...] = ()
    container_name: str = NO_CONTAINER
    model_data_path: str = "DEPRECATED"
    max_batch: int = ADAPTIVE_BATCH
    batch_wait_us: int = 0
    batching: Batching = Batching.AIMD
    bundle: str | None = None
    runtime: str = PROCESS
    replicas: int = 0
    created_s: float = 0.0
    image: str | None = None
    image_digest: str | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    gpus: str | None = None
    signature: Signature | None = None
    is_cached: bool = True
    web: str | None = None
    device: str | None = None
    threads: int | None = None
    env_vars: tuple[str, ...] = ()

    @property
    def is_runnable(self) -> bool:
        """Whether servd has something to run, and does not only know its name."""
        return self.bundle is not None or self.image is not None

    @property
    def is_contained(self) -> bool:
        """Whether its replicas are containers."""
        return self.runtime == DOCKER

    @property
    def id(self) -> VersionId:
        """The version's identity."""
        return VersionId(self.model, self.version)


class Inputs(msgspec.Struct, frozen=True):
    """What an application takes: what its bodies are decoded by.

    `signature` is its current version's, None where that has none; `versions` has those of the
    versions that take other inputs, for queries that name one.
    """

    input_type: InputType
    signature: Signature | None = None
    versions: dict[str, Signature | None] = {}

    def of(self, version: str | None) -> Signature | None:
        """Return the signature that counts for a query that names this version, or none."""
        return self.signature if version is None else self.versions.get(version, self.signature)


ROUTE_METHODS = ("GET", "POST")
"""What a rule may take: inputs in the query string, or in the body."""


class RouteRule(msgspec.Struct, frozen=True, kw_only=True):
    """A path of its own at which an application answers, with bodies of the caller's shape.

    `takes` is the key of a body under which the input is, `gives` that of an answer under which
    the output is; None: the body, or the answer, is that itself. Where it `is_batch`, it is a list
    of inputs, and of as many outputs.
    """

    method: str
    path: str
    app: str
    takes: str | None = None
    gives: str | None = None
    is_batch: bool = False

    @property
    def name(self) -> str:
        """What it is known by: one rule a method and path."""
        return f"{self.method} {self.path}"


_SERVING_FIELDS = (
    *("input_type", "max_batch", "batch_wait_us", "batching", "bundle", "image", "image_digest"),
)


def is_another(before: ModelVersion, now: ModelVersion) -> bool:
    """Return whether something else goes by a version's name now: numbers begin again.

    Of one that was only registered nothing is known but when that was.
    """
    is_runnable = before.is_runnable or now.is_runnable
    # What is loaded says itself what it takes: until it has, its version says something else.
    is_settled = before.signature is None and now.signature is not None
    names = _SERVING_FIELDS[1:] if is_settled else _SERVING_FIELDS
    return any(getattr(before, name) != getattr(now, name) for name in names) or not (
        is_runnable or before.created_s == now.created_s
    )


class RegistryState(msgspec.Struct, frozen=True):
    """Everything the registry knows at one instant; never changed in place.

    `current` maps a model to its current version, `links` an application to its linked models,
    `sources` a version to the path of the file that it was deployed from, where that is known,
    `routes` the name of each rule to it. `default_app` is the application that was chosen for paths
    without a name. `variables` has the values of a version's variables, which stay here: what goes
    to front ends, clients and exports as a registry is without them.
    """

    applications: dict[str, Application] = {}
    versions: dict[VersionId, ModelVersion] = {}
    current: dict[str, str] = {}
    links: dict[str, tuple[str, ...]] = {}
    sources: dict[VersionId, str] = {}
    routes: dict[str, RouteRule] = {}
    default_app: str | None = None
    variables: dict[VersionId, Variables] = {}

    @property
    def root_app(self) -> str | None:
        """The application that paths without a name answer for: the default, or the only one."""
        if self.default_app is None and len(self.applications) == 1:
            return next(iter(self.applications))
        return self.default_app


class End(msgspec.Struct, frozen=True):
    """How a replica left those that had queries at it; `how` goes on after "the replica".

    `death` is how surely it died of what it had: a silent one may be well.
    """

    how: str = "ended"
    death: float = 1


GONE: Final = End()
SILENT: Final = End("fell silent", 0.5)
OTHER: Final = End("is of another model", 0.0)


class ReplicaState(enum.StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    """Entered at each launch: the process exists and its model is loading or being test-called."""
    READY = "ready"
    """Entered when the replica reports a loaded, test-called model: it gets queries."""
    UNHEALTHY = "unhealthy"
    """Entered when a ready replica is silent for the heartbeat timeout; left at its next sign."""
    DRAINING = "draining"
    """Entered when it is to stop: it gets no new batch and answers those in flight."""
    BACKOFF = "backoff"
    """Entered when it died: it is launched again when its delay has passed."""
    FAILED = "failed"
    """Entered when it died too often without an answer: not launched again until asked for."""
    STOPPED = "stopped"
    """Entered when it has ended because it was asked to."""


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `servd ps`. Rates are over the last seconds; times are in milliseconds.

    `default_ratio` and the objective `slo_ms` are its application's, where its version is the
    current one. `test_ms` is what one call took when it was tested, None where that is not known.
    `device` is what it was given to compute on, where that was asked for; `limits` says what it may
    use and by what that is kept. `doing` is what is done before a replica that is starting can
    start: how the building of its environment goes. `environment` is what it runs in, None: servd's
    own.
    """

    application: str | None
    model: str
    version: str
    replica: int
    state: ReplicaState
    pid: int | None
    restarts: int
    requests_per_s: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    mean_batch: float | None = None
    default_ratio: float | None = None
    memory_bytes: int | None = None
    runtime: str = PROCESS
    last_error: str | None = None
    test_ms: float | None = None
    slo_ms: float | None = None
    device: str | None = None
    limits: tuple[str, ...] = ()
    doing: str | None = None
    environment: str | None = None


class DeployRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/v1/deployments` takes. None means: not given, use what exists or the default.

    `version` None: the current one where it is the very same, else the next free whole number.
    `app` None: no application is made. `bundle` None: `image` is a replica by itself. `replicas`
    None: as many as there are of what is there already, else one. The limits are of each replica.
    `source` is the path of the deployed file. Where the model's name was taken from it
    (`is_name_given` false), a model of that name that came from another file is not replaced.
    `container_name` is what Clipper's clients know the version's image by. `env_vars` are variables
    of the replicas' environment with their values, which no answer has.
    """

    model: str
    bundle: str | None = None
    version: str | None = None
    input_type: str | None = None
    labels: tuple[str, ...] = ()
    max_batch: int = ADAPTIVE_BATCH
    batch_wait_us: int = 0
    batching: Batching = Batching.AIMD
    replicas: int | None = None
    app: str | None = None
    default_output: str | None = None
    slo_us: int | None = None
    runtime: str = PROCESS
    image: str | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    gpus: str | None = None
    source: str | None = None
    is_name_given: bool = True
    is_cached: bool = True
    container_name: str | None = None
    device: str | None = None
    threads: int | None = None
    env_vars: dict[str, str] = {}

    def __repr__(self) -> str:
        """Return what is asked for, without the values of variables."""
        shown = {**msgspec.structs.asdict(self), "env_vars": Variables(self.env_vars)}
        return f"DeployRequest({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class DeployEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a deployment's progress (NDJSON).

    `event` is one of pulling, starting, environment, loaded, live, unchanged, error. The last line
    is live, unchanged or error, which carries `error`, the problem object of docs (code, message,
    hint, traceback).
    loaded carries `test`, what the replica says of its test call (docs/protocol.md, STATE); live
    and unchanged carry the objective of the application in `slo_ms`, and live has the `signature`;
    of a web application they have its kind in `web`, and no objective.
    loaded also says what the replica computes on and what it may use, as `ReplicaStatus` does.
    environment, with a line of progress in `message`, comes while the version's environment is
    built; the last of them says with `duration_ms` how long that took, and which it is.
    pulling, with the image in `message`, comes before starting, which knows the version, where the
    image is not here.
    """

    event: str
    model: str = ""
    version: str = ""
    replica: int | None = None
    pid: int | None = None
    duration_ms: float | None = None
    app: str | None = None
    query_url: str | None = None
    slo_ms: float | None = None
    test: dict[str, Any] | None = None
    signature: dict[str, Any] | None = None
    web: str | None = None
    device: str | None = None
    limits: tuple[str, ...] = ()
    message: str | None = None
    error: dict[str, Any] | None = None

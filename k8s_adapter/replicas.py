"""The replicas of each model version: a Deployment of its image, found by a headless Service."""

from dataclasses import dataclass
from typing import Final

from k8s_adapter import pods, resources
from k8s_adapter.frontends import REPLICA_PORT
from k8s_adapter.identity import (
    FRONTEND,
    REPLICA,
    Identity,
    Object,
    component_labels,
    component_pods,
    component_selector,
)
from k8s_adapter.keys import Keys, keys_of, scheme_of
from k8s_adapter.names import to_label_value
from k8s_adapter.options import Options
from k8s_adapter.quantity import format_cpu, format_memory, parse_cpu
from k8s_adapter.snapshot import Version
from k8s_adapter.variables import (
    environment,
    gpu_count,
    thread_variables,
    variable_objects,
    variables_annotation,
)

ACCOUNT: Final = "servd-replica"
BUNDLE_FOLDER: Final = "/opt/servd/bundle"
HEALTH_PORT: Final = 7001

PAUSE_S: Final = 5
"""It answers on for so long, in which frontends find the one that takes its place; then SIGTERM
makes it say that it leaves, and it answers what it has."""
DRAIN_S: Final = 30
GRACE_S: Final = PAUSE_S + DRAIN_S + 5
MIN_READY_S: Final = 10
"""A new replica has been found by the frontends before an old one is told to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A version and the name that its objects have."""

    version: Version
    name: str
    options: Options

    @property
    def identity(self) -> Identity:
        """The identity of the version's objects."""
        version = to_label_value(self.version.version)
        return Identity(
            name=self.name,
            namespace=self.options.namespace,
            labels={
                **component_labels(self.name, REPLICA, version),
                "servd.io/model": to_label_value(self.version.model),
                "servd.io/version": version,
            },
            selector=component_selector(self.name, REPLICA),
        )

    @property
    def keys(self) -> Keys | None:
        """By what front ends and the version's replicas know each other."""
        return keys_of(self.version, self.options)

    @property
    def listen(self) -> str:
        """Where the version's replicas listen."""
        return f"{scheme_of(self.version, self.options)}://0.0.0.0:{REPLICA_PORT}"


def replica_objects(seat: Seat) -> list[Object]:
    """Return the objects of one version. One that is scaled to 0 has no autoscaler."""
    identity, options = seat.identity, seat.options
    found = [
        *variable_objects(seat.name, seat.version, options),
        resources.headless_service(identity, REPLICA_PORT, "rpc"),
        resources.deployment(_workload(seat)),
        resources.disruption_budget(identity, options.kube_version),
    ]
    if seat.version.replicas:
        bounds = autoscaler_bounds(seat.version, options)
        found.append(
            resources.autoscaler(identity, bounds, options.cpu_target, options.kube_version)
        )
    return found


def shared_objects(options: Options) -> list[Object]:
    """Return what the replicas of all versions have in common: their account and their policy."""
    account = Identity(name=ACCOUNT, namespace=options.namespace)
    # The health port needs no rule: a node, and so its kubelet, always reaches its own pods.
    # What a model itself asks, such as a database, is not restricted.
    ingress: list[Object] = [
        {
            "from": [{"podSelector": {"matchLabels": component_pods(FRONTEND)}}],
            "ports": [{"protocol": "TCP", "port": REPLICA_PORT}],
        }
    ]
    return [
        resources.service_account(account),
        resources.network_policy(account, component_pods(REPLICA), ingress=ingress),
    ]


def autoscaler_bounds(version: Version, options: Options) -> tuple[int, int]:
    """Return the least and the greatest number of a version's replicas.

    The least is the number that was asked for here, unless the export is told another one.
    """
    least = options.min_replicas or version.replicas
    return least, max(least, options.max_replicas)


def annotations_of(version: Version) -> dict[str, str]:
    """Return what a version's pods say of themselves."""
    said = {"servd.io/model": version.model, "servd.io/version": version.version}
    # The tag may stay the same when the files do not.
    return said | ({"servd.io/bundle": version.bundle} if version.bundle else {})


def memory_of(version: Version, options: Options) -> tuple[str, str]:
    """Return the memory that a version's pods request, and their limit."""
    own = format_memory(version.memory_bytes) if version.memory_bytes else options.memory
    return (own, own) if own else ("256Mi", "1Gi")


def _workload(seat: Seat) -> pods.Workload:
    version, options = seat.version, seat.options
    annotations = annotations_of(version) | variables_annotation(version, options)
    volumes: list[Object] = []
    if seat.keys:
        annotations |= seat.keys.annotation(options)
        volumes.append(seat.keys.volume(seat.keys.replica_files))
    return pods.Workload(
        identity=seat.identity,
        container=_container(seat),
        service_account=ACCOUNT,
        grace_s=GRACE_S,
        volumes=volumes,
        replicas=None if version.replicas else 0,
        min_ready_s=MIN_READY_S,
        annotations=annotations,
        image_pull_secret=options.image_pull_secret,
    )


def _container(seat: Seat) -> Object:
    version, options = seat.version, seat.options
    own = _run_as_it_is(seat) if version.is_prebuilt else _run_as_built(seat)
    return {
        "name": REPLICA,
        "image": version.image,
        "imagePullPolicy": "IfNotPresent",
        **own,
        "resources": _resources(version, options),
        "securityContext": pods.container_security(),
        "volumeMounts": [pods.tmp_mount(), *([seat.keys.mount()] if seat.keys else [])],
    }


def _run_as_built(seat: Seat) -> Object:
    """Return how a container of servd's own making is run, asked and ended."""
    return {
        # The image has the command; what is said here adds to it.
        "args": _arguments(seat),
        "env": _environment(seat),
        "ports": [
            pods.container_port("rpc", REPLICA_PORT),
            pods.container_port("health", HEALTH_PORT),
        ],
        **pods.http_probes("health"),
        "lifecycle": pods.pause_before_stop(PAUSE_S, seat.options.kube_version),
    }


def _run_as_it_is(seat: Seat) -> Object:
    """Return the same of an image that is a replica by itself: as docs/protocol.md has it.

    It is told by variables what it is, as its program may take no arguments, and asked whether it
    listens, as that is all that is known of it; front ends ask it for its state.
    """
    version, options = seat.version, seat.options
    said = {
        "SERVD_LISTEN": seat.listen,
        **({f"SERVD_{seat.keys.name.upper()}": seat.keys.folder} if seat.keys else {}),
        "SERVD_MAX_BATCH": str(version.max_batch),
        "SERVD_MODEL_NAME": version.model,
        "SERVD_MODEL_VERSION": version.version,
    }
    variables = [{"name": name, "value": value} for name, value in said.items()]
    found: Object = {
        "env": [*_environment(seat), *variables],
        "ports": [pods.container_port("rpc", REPLICA_PORT)],
        **pods.tcp_probes("rpc"),
    }
    if options.kube_version.has_sleep_hook:  # else it would have to have a program to sleep with
        found["lifecycle"] = pods.pause_before_stop(PAUSE_S, options.kube_version)
    return found


def _arguments(seat: Seat) -> list[str]:
    version = seat.version
    arguments = ["--listen", seat.listen, "--bundle", BUNDLE_FOLDER]
    # One word each: a name may begin with '-'.
    arguments += [f"--model={version.model}", f"--version={version.version}"]
    arguments += ["--health", f"0.0.0.0:{HEALTH_PORT}"]
    if version.max_batch > 0:
        arguments += ["--max-batch", str(version.max_batch)]
    return [*arguments, *(seat.keys.argument if seat.keys else ())]


def _environment(seat: Seat) -> list[Object]:
    version = seat.version
    own = [pods.HOME, *thread_variables(version)]
    return environment(seat.name, version, seat.options, own=own)


def _resources(version: Version, options: Options) -> Object:
    if version.cpus:
        own = format_cpu(max(1, round(version.cpus * 1000)))
        cpu = (own, own)
    else:
        # A limit well over the request: a batch is to be computed at full speed.
        request = parse_cpu(options.cpu_request)
        cpu = (format_cpu(request), format_cpu(max(2000, request)))
    return pods.resources(cpu, memory_of(version, options), gpu_count(version))

"""The standalone shape: one image with its model inside, scaled by CPU, behind one Service.

Namespace, Deployment, Service and HorizontalPodAutoscaler, as tutorials write them by hand. Used by
the exports; helm.py makes a chart of the same objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from k8s_adapter import pods, resources
from k8s_adapter.cluster import namespace_objects
from k8s_adapter.errors import ExportError, NoFilesError, NothingToExportError
from k8s_adapter.identity import Identity, Object
from k8s_adapter.keys import token_annotation, token_objects, token_variables
from k8s_adapter.names import to_service_name
from k8s_adapter.options import Options, check_options
from k8s_adapter.quantity import format_cpu, parse_cpu
from k8s_adapter.replicas import annotations_of, memory_of
from k8s_adapter.snapshot import Snapshot, Version
from k8s_adapter.variables import (
    environment,
    gpu_count,
    thread_variables,
    variable_objects,
    variables_annotation,
)

PORT: Final = 5000
CPU_REQUEST: Final = "1"
SERVICE_TYPE: Final = "LoadBalancer"
ENVIRONMENT: Final = "prod"
EXPECTED_BUNDLE: Final = "SERVD_EXPECT_BUNDLE"

_PAUSE_S: Final = 10
_GRACE_S: Final = _PAUSE_S + 30 + 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StandaloneApp:
    """An application in an image of its own. `name` is that of its objects and its label `app`.

    `service` names its Service. `application` is what its queries are called: the first part of
    their path.
    """

    name: str
    application: str
    image: str
    version: Version
    service: str
    env: str = ENVIRONMENT


def standalone_apps(
    snapshot: Snapshot, images: Mapping[str, str], *, service_suffix: str = ""
) -> list[StandaloneApp]:
    """Return the applications of a snapshot that a model answers.

    `images` maps "model:version" to the standalone image's reference.

    Raises:
        NothingToExportError: no application has a model with an image.
        ExportError: two applications would have objects of one name.
    """
    found: dict[str, StandaloneApp] = {}
    for app in snapshot.applications:
        version = _answering(snapshot, app.models)
        if version is None or version.key not in images:
            continue
        name = to_service_name(app.name)
        if name in found:
            raise ExportError(
                f"the applications '{found[name].application}' and '{app.name}' "
                f"would both be called '{name}' on the cluster",
                hint="export them one by one, each with a --namespace of its own",
            )
        found[name] = StandaloneApp(
            name=name,
            application=app.name,
            image=images[version.key],
            version=version,
            service=name + service_suffix,
        )
    if not found and snapshot.applications:
        raise NoFilesError([app.name for app in snapshot.applications])
    if not found:
        raise NothingToExportError
    return list(found.values())


def standalone_objects(apps: Sequence[StandaloneApp], options: Options) -> list[Object]:
    """Return every object of some applications, in the order in which a single file is applied.

    Raises:
        KubeNameError: an option is a name that Kubernetes refuses.
        OptionError: an option is out of range.
    """
    check_options(options)
    found = namespace_objects(options.namespace)
    found += [] if options.is_seldon else token_objects(options)
    for app in apps:
        found += variable_objects(app.name, app.version, options)
        found += app_objects(app, options)
    return found


def app_objects(app: StandaloneApp, options: Options) -> list[Object]:
    """Return Deployment, Service and HorizontalPodAutoscaler; nothing is checked (see helm.py).

    Of a SeldonDeployment Seldon Core's operator makes these.
    """
    identity = _identity(app, app.name, options)
    least = options.min_replicas or 1
    bounds = (least, max(least, options.max_replicas))
    workload = _workload(app, identity, options)
    if options.is_seldon:
        return [resources.seldon_deployment(workload, bounds, options.cpu_target, app.name)]
    return [
        resources.deployment(workload),
        _service(_identity(app, app.service, options), options),
        resources.autoscaler(
            identity,
            bounds,
            options.cpu_target,
            options.kube_version,
        ),
    ]


def _answering(snapshot: Snapshot, models: Sequence[str]) -> Version | None:
    """Return the current version of the model that an application is linked to."""
    return next((v for v in snapshot.versions if v.model in models and v.is_current), None)


def _identity(app: StandaloneApp, name: str, options: Options) -> Identity:
    return Identity(
        name=name,
        namespace=options.namespace,
        labels={"app": app.name, "env": app.env},
        selector={"app": app.name},
    )


def _service(identity: Identity, options: Options) -> Object:
    found = resources.service(identity, PORT, "http", options.service_type)
    found["spec"]["ports"][0]["targetPort"] = PORT
    return found


def _workload(app: StandaloneApp, identity: Identity, options: Options) -> pods.Workload:
    # No number of replicas: the autoscaler sets it, and applying the file again would reset it.
    return pods.Workload(
        identity=identity,
        container=_container(app, options),
        service_account="default",
        grace_s=_GRACE_S,
        annotations=annotations_of(app.version)
        | variables_annotation(app.version, options)
        | ({} if options.is_seldon else token_annotation(options)),
        image_pull_secret=options.image_pull_secret,
    )


def _container(app: StandaloneApp, options: Options) -> Object:
    return {
        "name": app.name,
        "image": app.image,
        "imagePullPolicy": pull_policy(app),
        "env": _environment(app, options),
        "ports": [pods.container_port("http", PORT)],
        **pods.http_probes("http"),
        "lifecycle": pods.pause_before_stop(_PAUSE_S, options.kube_version),
        "resources": _resources(app.version, options),
        "securityContext": pods.container_security(),
        "volumeMounts": [pods.tmp_mount()],
    }


def pull_policy(app: StandaloneApp) -> str:
    """Return when nodes ask the registry for an image: at each start, if its name may be moved.

    A name of servd's holds its bundle's digest. No registry has an image that names neither a host
    nor an account; it was loaded into the nodes.
    """
    is_fixed = "@sha256:" in app.image or (app.version.bundle or "-")[:12] in app.image
    return "Always" if "/" in app.image and not is_fixed else "IfNotPresent"


def _resources(version: Version, options: Options) -> Object:
    """Return what a pod requests: without a CPU request there is nothing to scale by."""
    request = round(version.cpus * 1000) if version.cpus else parse_cpu(options.cpu_request)
    cpu = (format_cpu(max(1, request)), format_cpu(max(2000, request)))
    return pods.resources(cpu, memory_of(version, options), gpu_count(version))


def _environment(app: StandaloneApp, options: Options) -> list[Object]:
    version = app.version
    is_said = version.threads is not None or version.cpus is not None
    # Else the image says it, which its builder may have told otherwise.
    own: list[Object] = [pods.HOME, *(thread_variables(version) if is_said else ())]
    found = environment(app.name, version, options, own=own)
    if app.version.bundle:
        # An image's name may have come to stand for another model; then its pods end at once.
        found.append({"name": EXPECTED_BUNDLE, "value": app.version.bundle})
    # What asks a SeldonDeployment's containers is Seldon's own, which knows no token.
    return found if options.is_seldon else found + token_variables(options)

"""What an export was asked for. Made from the flags, kept with the export, read by diff-k8s."""

from enum import StrEnum
from typing import Final

import msgspec

from k8s_adapter.kube_version import DEFAULT, parse_kube_version
from k8s_adapter.names import check_label
from k8s_adapter.options import Options
from k8s_adapter.standalone import CPU_REQUEST, SERVICE_TYPE
from servd.export.secrets import Secrets

ANY_NAMESPACE: Final = "any"
DEFAULT_INGRESS_NAMESPACE: Final = "ingress-nginx"


class Shape(StrEnum):
    """What runs on the cluster."""

    CLUSTER = "cluster"
    """Query frontends before replicas of each model version."""
    STANDALONE = "standalone"
    """Each application in one image, with its model inside."""


class Form(StrEnum):
    """How the files are laid out."""

    DIRECTORY = "directory"
    SINGLE_FILE = "single-file"
    HELM = "helm"
    KUSTOMIZE = "kustomize"


class ExportSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The flags of an export, without its secrets. None: not given."""

    shape: Shape = Shape.CLUSTER
    form: Form = Form.DIRECTORY
    apps: tuple[str, ...] = ()
    namespace: str = "servd"
    image_registry: str | None = None
    image: str | None = None
    base_image: str | None = None
    requirements: str | None = None
    extra_index: tuple[str, ...] = ()
    wheel: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    min_replicas: int | None = None
    max_replicas: int = 5
    cpu_target: int = 40
    cpu_request: str | None = None
    memory: str | None = None
    service_type: str | None = None
    ingress: str | None = None
    ingress_class: str | None = None
    ingress_namespace: str = DEFAULT_INGRESS_NAMESPACE
    image_pull_secret: str | None = None
    kube_version: str = str(DEFAULT)
    service_monitor: bool = False
    frontends: int = 2
    seldon: bool = False


def options_of(settings: ExportSettings, secrets: Secrets) -> Options:
    """Return the settings as k8s_adapter takes them; each shape has defaults of its own.

    Raises:
        KubeVersionError: the Kubernetes version is unknown.
        KubeNameError: the ingress controller's namespace cannot be one.
    """
    is_standalone = settings.shape is Shape.STANDALONE
    defaults = Options()
    return Options(
        namespace=settings.namespace,
        kube_version=parse_kube_version(settings.kube_version),
        min_replicas=settings.min_replicas,
        max_replicas=settings.max_replicas,
        cpu_target=settings.cpu_target,
        cpu_request=settings.cpu_request
        or (CPU_REQUEST if is_standalone else defaults.cpu_request),
        memory=settings.memory,
        frontend_replicas=settings.frontends,
        service_type=settings.service_type
        or (SERVICE_TYPE if is_standalone else defaults.service_type),
        ingress=settings.ingress,
        ingress_class=settings.ingress_class,
        ingress_namespace=_ingress_namespace(settings),
        image_pull_secret=settings.image_pull_secret,
        service_monitor=settings.service_monitor,
        tls=secrets.tls,
        curve=secrets.curve,
        token=secrets.token,
        variables=secrets.variables,
        is_seldon=settings.seldon,
    )


def _ingress_namespace(settings: ExportSettings) -> str | None:
    """Return where the ingress controller runs; None: whoever asks is let in."""
    if settings.ingress_namespace == ANY_NAMESPACE:
        return None
    check_label("ingress namespace", settings.ingress_namespace)
    return settings.ingress_namespace

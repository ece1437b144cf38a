"""What the user chooses about an export; each field is a flag of `servd export-k8s`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from k8s_adapter.errors import OptionError
from k8s_adapter.kube_version import DEFAULT, KubeVersion
from k8s_adapter.names import check_host, check_label, check_subdomain
from k8s_adapter.quantity import parse_cpu, parse_memory

SERVICE_TYPES: Final = ("ClusterIP", "NodePort", "LoadBalancer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the objects of an export are to be.

    `min_replicas` None: each version's own desired number. `cpu_request` and `memory` are
    quantities for the versions that name none of their own. `tls` maps the four files of
    certificates to their texts, `curve` those of the keys for images that are replicas by
    themselves; empty: replicas are reached without encryption. `token` None: anyone may query.
    `variables` has the values of versions' variables by "model:version".
    `ingress_namespace` is where the ingress controller's pods run; None: anyone may reach the
    frontends. Where it `is_seldon` each standalone application is a SeldonDeployment.
    """

    namespace: str = "servd"
    kube_version: KubeVersion = DEFAULT
    min_replicas: int | None = None
    max_replicas: int = 5
    cpu_target: int = 40
    cpu_request: str = "100m"
    memory: str | None = None
    frontend_replicas: int = 2
    service_type: str = "ClusterIP"
    ingress: str | None = None
    ingress_class: str | None = None
    ingress_namespace: str | None = "ingress-nginx"
    image_pull_secret: str | None = None
    service_monitor: bool = False
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    curve: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = None
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    is_seldon: bool = False


def check_options(options: Options) -> None:
    """Raise the error that says what is wrong with an option, if anything is.

    Raises:
        KubeNameError: a name that Kubernetes refuses.
        OptionError: a value out of range.
    """
    check_label("namespace", options.namespace)
    if options.image_pull_secret is not None:
        check_subdomain("image pull secret", options.image_pull_secret)
    if options.ingress is not None:
        check_host(options.ingress)
    if options.service_type not in SERVICE_TYPES:
        raise OptionError(
            f"'{options.service_type}' is not a type of Service",
            hint=f"types are: {', '.join(SERVICE_TYPES)}",
        )
    _check_numbers(options)
    parse_cpu(options.cpu_request)
    if options.memory is not None:
        parse_memory(options.memory)


def _check_numbers(options: Options) -> None:
    least = 1 if options.min_replicas is None else options.min_replicas
    if least < 1:
        raise OptionError(
            "--min has to be at least 1", hint="servd scale MODEL 0    stops a version"
        )
    if options.max_replicas < least:
        raise OptionError(
            f"--max {options.max_replicas} is below --min {least}", hint=f"--max {least} or more"
        )
    if not 1 <= options.cpu_target <= 100:
        raise OptionError(
            f"--cpu-target {options.cpu_target} is not a percentage from 1 to 100",
            hint="--cpu-target 40",
        )
    if options.frontend_replicas < 1:
        raise OptionError("a cluster needs at least one frontend", hint="--frontends 2")

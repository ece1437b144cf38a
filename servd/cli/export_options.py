"""The flags of `servd export-k8s`, and the place that it and `servd diff-k8s` are about."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from servd.cli.values import WholeNumber

if TYPE_CHECKING:
    from servd.export.place import Place
    from servd.export.settings import ExportSettings, Form

DEFAULT_FOLDER: Final = "k8s"

_PLACES: Final = (
    ("--out", "out", "DIR", "A folder with a file for each object.  [default: k8s]"),
    ("--single-file", "single_file", "FILE", "All objects in one file."),
    ("--helm", "helm", "DIR", "A Helm chart."),
    ("--kustomize", "kustomize", "DIR", "A folder for kubectl apply -k."),
)

_TEXTS: Final = (
    ("--namespace", "namespace", "NAME", "Namespace of all objects.  [default: servd]"),
    ("--image-registry", "image_registry", "HOST[/PATH]", "Registry that nodes pull images from."),
    ("--cpu-request", "cpu_request", "CPU", "CPU of a pod, as in 250m or 1.  [default: 100m, 1]"),
    ("--memory", "memory", "SIZE", "Memory of a pod, as in 512Mi.  [default: 256Mi to 1Gi]"),
    (
        *("--service-type", "service_type", "TYPE"),
        "ClusterIP, NodePort or LoadBalancer.  [default: ClusterIP, standalone: LoadBalancer]",
    ),
    ("--ingress", "ingress", "HOST", "Make an Ingress for that host."),
    ("--ingress-class", "ingress_class", "NAME", "Its class.  [default: the cluster's]"),
    (
        *("--ingress-namespace", "ingress_namespace", "NAME"),
        "Where its controller runs, or any.  [default: ingress-nginx]",
    ),
    ("--image-pull-secret", "image_pull_secret", "NAME", "Secret with the registry's password."),
    ("--kube-version", "kube_version", "VERSION", "Oldest Kubernetes to run on.  [default: 1.29]"),
    ("--image", "image", "REF", "The standalone image, if it has a name of its own."),
    (
        *("--base-image", "base_image", "IMAGE"),
        "What images are built on.  [env: SERVD_BASE_IMAGE; default: python:X.Y-slim]",
    ),
)

_NUMBERS: Final = (
    ("--min", "min_replicas", "Least copies of a model.  [default: those it has here]"),
    ("--max", "max_replicas", "Most copies of a model.  [default: 5]"),
    ("--cpu-target", "cpu_target", "Percent of the CPU request to scale at.  [default: 40]"),
    ("--frontends", "frontends", "Pods that answer queries.  [default: 2]"),
)

_FOR_INGRESS: Final = ("ingress_class", "ingress_namespace")


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a verb with the flags that say where an export is."""
    for flag, name, metavar, text in reversed(_PLACES):
        click.option(flag, name, metavar=metavar, help=text)(function)
    return function


def setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a verb with the flags that say what an export is to be like."""
    click.option("--service-monitor", is_flag=True, help="Add one for Prometheus.")(function)
    for flag, name, text in reversed(_NUMBERS):
        click.option(flag, name, type=WholeNumber(1), metavar="N", help=text)(function)
    for flag, name, metavar, text in reversed(_TEXTS):
        click.option(flag, name, metavar=metavar, help=text)(function)
    click.option("--standalone", is_flag=True, help="Each application in one image of its own.")(
        function
    )
    return function


def place_of(flags: dict[str, Any]) -> "tuple[Form, Place]":
    """Take the flags of `place_options` out of a verb's and return the form and the place."""
    from pathlib import Path  # noqa: PLC0415 - help does without

    from servd.export.place import Place  # noqa: PLC0415
    from servd.export.settings import Form  # noqa: PLC0415

    forms = {
        "out": Form.DIRECTORY,
        "single_file": Form.SINGLE_FILE,
        "helm": Form.HELM,
        "kustomize": Form.KUSTOMIZE,
    }
    given = {name: flags.pop(name) for name in forms}
    chosen = [name for name, path in given.items() if path is not None]
    if len(chosen) > 1:
        words = " and ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise _usage(f"{words} exclude each other")
    name = chosen[0] if chosen else "out"
    path = Path(given[name] or DEFAULT_FOLDER)
    return forms[name], Place(path, is_file=forms[name] is Form.SINGLE_FILE)


def settings_of(apps: tuple[str, ...], form: "Form", flags: dict[str, Any]) -> "ExportSettings":
    """Return the settings that the flags of `setting_options` make; None: not given."""
    from servd.export.settings import ExportSettings, Shape  # noqa: PLC0415 - help does without

    is_standalone = flags.pop("standalone")
    given = {name: value for name, value in flags.items() if value is not None}
    _check_shape(given, is_standalone=is_standalone)
    shape = Shape.STANDALONE if is_standalone else Shape.CLUSTER
    return ExportSettings(shape=shape, form=form, apps=tuple(sorted(set(apps))), **given)


def _check_shape(given: dict[str, Any], *, is_standalone: bool) -> None:
    """Refuse flags that would have no effect."""
    if not is_standalone and "image" in given:
        raise _usage("--image is for --standalone; a model's own image is given at its deployment")
    clustered = (*_FOR_INGRESS, "ingress", "frontends", "service_monitor")
    idle = [name for name in clustered if given.get(name)]
    if is_standalone and idle:
        raise _usage(f"--{idle[0].replace('_', '-')} has no effect with --standalone")
    for name in _FOR_INGRESS:
        if name in given and "ingress" not in given:
            raise _usage(f"--{name.replace('_', '-')} is for --ingress HOST")


def _usage(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())

"""What the flags of `servd export-k8s` and `servd diff-k8s` stand for: a place, and settings."""

from pathlib import Path
from typing import Any, Final

import click

from servd.export.place import Place
from servd.export.settings import ExportSettings, Form, Shape

DEFAULT_FOLDER: Final = "k8s"
_FOR_INGRESS: Final = ("ingress_class", "ingress_namespace")


def place_of(flags: dict[str, Any]) -> tuple[Form, Place]:
    """Take the flags of `place_options` out of a verb's and return the form and the place."""
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
        raise click.UsageError(f"{words} exclude each other")
    name = chosen[0] if chosen else "out"
    path = Path(given[name] or DEFAULT_FOLDER)
    return forms[name], Place(path, is_file=forms[name] is Form.SINGLE_FILE)


def settings_of(apps: tuple[str, ...], form: Form, flags: dict[str, Any]) -> ExportSettings:
    """Return the settings that the flags of `setting_options` make; None: not given."""
    is_standalone = flags.pop("standalone") or flags["seldon"]
    if flags["seldon"] and form is Form.HELM:
        raise click.UsageError(
            "--seldon and --helm exclude each other: there is one object to make"
        )
    if flags["seldon"] and flags["service_type"] is not None:
        raise click.UsageError("--service-type has no effect with --seldon: its operator makes it")
    given = {name: value for name, value in flags.items() if value is not None}
    _check_shape(given, is_standalone=is_standalone)
    shape = Shape.STANDALONE if is_standalone else Shape.CLUSTER
    return ExportSettings(shape=shape, form=form, apps=tuple(sorted(set(apps))), **given)


def _check_shape(given: dict[str, Any], *, is_standalone: bool) -> None:
    """Refuse flags that would have no effect."""
    if not is_standalone and "image" in given:
        raise click.UsageError(
            "--image is for --standalone; a model's own image is given at its deployment"
        )
    clustered = (*_FOR_INGRESS, "ingress", "frontends", "service_monitor")
    idle = [name for name in clustered if given.get(name)]
    if is_standalone and idle:
        raise click.UsageError(f"--{idle[0].replace('_', '-')} has no effect with --standalone")
    for name in _FOR_INGRESS:
        if name in given and "ingress" not in given:
            raise click.UsageError(f"--{name.replace('_', '-')} is for --ingress HOST")

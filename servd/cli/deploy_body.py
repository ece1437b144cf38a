"""What `servd deploy` does. Loaded when it is run: what bundles a model comes along."""

import os
from typing import Any, Final, Literal

import click

from servd.cli.bundle_options import bundle_options
from servd.cli.deploy_progress import Progress
from servd.cli.files import File
from servd.cli.session import Session
from servd.cli.values import default_remark
from servd.client import calls, deployment
from servd.client.admin import AdminClient
from servd.client.deployment import Naming
from servd.client.spawn import start_daemon
from servd.environments.store import Environments
from servd.errors import DaemonNotRunningError, InvalidValueError, StartError
from servd.packing.services import SeveralApisError
from servd.packing.targets import parse_target
from servd.registry.variables import read_variables

_OF_FILES: Final = (
    *("method", "example", "skip_test", "include", "columns", "schema", "extra_columns", "output"),
    *("concurrency", "param", "loader", "trust", "class", "task"),
    *("env", "requirements", "python"),
)
"""Options that say what is in a bundle."""
_CONTAINER_FLAGS: Final = ("--image", "--gpus")


_OF_ONE: Final = ("name", "app", "method", "example", "columns", "schema", "input_type")
"""Options that are of one model, where a target is several."""


def deploy(session: Session, /, target: str | None, **flags: Any) -> None:
    """Deploy what the flags say, and tell how it goes; of a service of BentoML each API."""
    try:
        _deploy_one(session, target, flags)
    except SeveralApisError as several:
        for name in _OF_ONE:
            if flags[name]:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} is of one model, and {target} is "
                    f"{len(several.targets)}: say which one, as in {several.targets[0]}"
                ) from several
        for each in several.targets:
            _deploy_one(session, each, flags)


def _deploy_one(session: Session, target: str | None, flags: dict[str, Any]) -> None:
    settings = _deployment_settings(flags) | _run_settings(flags)
    progress = Progress(session, is_cached=not flags["no_cache"])
    if remark := default_remark(flags["default_output"]):
        progress.on_warning(remark)
    if target is None:
        _check_image_only(flags)
        request = _image_request(flags)
        client = _daemon(session, progress, may_start=not flags["no_start"])
    else:
        request, client = _bundle_request(session, target, flags, progress)
    _deploy(client, request | settings, progress, is_waiting=not flags["no_wait"])


def _run_settings(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a deployment request that these options decide.

    Raises:
        click.UsageError: they contradict each other.
        InvalidValueError: one is wrong.
    """
    variables = read_variables(flags["env_var"], os.environ)
    given = {**flags, "env_vars": variables or None}
    try:
        return deployment.run_settings(given, flags["runtime"], _CONTAINER_FLAGS)
    except InvalidValueError as error:
        if not error.hint.startswith("runtime"):
            raise
        raise click.UsageError(f"{error.message}: --runtime docker") from error


def _check_image_only(flags: dict[str, Any]) -> None:
    """Raise unless an image alone can be deployed with these options.

    Raises:
        click.UsageError: a name is missing, or an option needs a TARGET.
    """
    if flags["image"] is None:
        raise click.UsageError("Missing argument 'TARGET'.")
    if flags["name"] is None:
        raise click.UsageError("--name is needed where an image is deployed without a TARGET")
    for name in _OF_FILES:
        if flags[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} needs a TARGET")


def _image_request(flags: dict[str, Any]) -> dict[str, Any]:
    """Return what a deployment of an image alone asks for."""
    return deployment.image_request(_naming(flags), flags["image"], flags["input_type"])


def _naming(flags: dict[str, Any]) -> Naming:
    app: str | Literal[False] | None = False if flags["no_app"] else flags["app"]
    return Naming(name=flags["name"], app=app, version=flags["version"])


def _bundle_request(
    session: Session, target: str, flags: dict[str, Any], progress: Progress
) -> tuple[dict[str, Any], AdminClient]:
    """Bundle and upload a target; return what its deployment asks for, and of which daemon."""
    options, example = bundle_options(flags, session.config.load_timeout_s)
    environments = Environments(session.config.environments_dir)
    naming = _naming(flags)
    prepared = deployment.prepare(parse_target(target), naming, options, progress, environments)
    client = _daemon(session, progress, may_start=not flags["no_start"])
    progress.example_file = example if isinstance(example, File) else None
    return deployment.send(client, prepared, progress), client


def _deploy(
    client: AdminClient, request: dict[str, Any], progress: Progress, *, is_waiting: bool
) -> None:
    try:
        deployment.follow(client, request, progress, is_waiting=is_waiting)
    except KeyboardInterrupt:
        progress.on_interrupt()
        raise
    finally:
        progress.settle()
    if is_waiting:
        progress.finish()


def _deployment_settings(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the deployment request that flags alone decide."""
    if flags["no_app"] and flags["app"]:
        raise click.UsageError("--app and --no-app contradict each other")
    if flags["batching"] != "aimd" and flags["max_batch"] > 0:
        raise click.UsageError("--batching is for a batch size that adapts, --max-batch N fixes it")
    words = ("max_batch", "batching", "replicas", "default_output", "slo_us")
    given = {name: flags[name] for name in words}
    given["batch_wait_us"] = round(flags["batch_wait_s"] * 1e6)
    return given | ({"is_cached": False} if flags["no_cache"] else {})


def _daemon(session: Session, progress: Progress, *, may_start: bool) -> AdminClient:
    """Return a client of the running daemon; one is started where none runs and it may be."""
    config = session.config
    # Loading and testing are the daemon's to limit; this is what a broken connection may cost.
    client = session.client(config.load_timeout_s + config.test_timeout_s + 30.0)
    try:
        client.ask(calls.status())
    except DaemonNotRunningError:
        if not may_start or session.admin_url:
            raise
        try:
            status, is_new = start_daemon(config, {})
        except StartError as error:
            # The flags that the hint speaks of are those of `servd start`.
            error.hint = error.hint.replace("--", "servd start --", 1)
            raise
        if is_new:
            progress.on_started(status)
        return session.client(config.load_timeout_s + config.test_timeout_s + 30.0)
    return client

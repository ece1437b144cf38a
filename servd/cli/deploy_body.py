"""What `servd deploy` does. Loaded when it is run: what bundles a model comes along."""

import time
from pathlib import Path
from typing import Any, Final

import click

from servd import names
from servd.cli.deploy_progress import Progress
from servd.cli.files import File, read_example
from servd.cli.session import Session
from servd.cli.spawn import start_daemon
from servd.cli.values import default_remark
from servd.client.admin import AdminClient
from servd.datatypes import InputType
from servd.errors import DaemonNotRunningError, StartError, TargetError
from servd.packing import bundling
from servd.packing.bundling import BundleOptions, BundlePlan, choose_name
from servd.packing.columns import schema_of_columns, schema_of_file
from servd.packing.targets import parse_target
from servd.registry.container_limits import check_limits

_OF_FILES: Final = (
    *("method", "example", "skip_test", "include", "columns", "schema", "extra_columns", "output"),
    "concurrency",
)
"""Options that say what is in a bundle."""


def deploy(session: Session, /, target: str | None, **flags: Any) -> None:
    """Deploy what the flags say, and tell how it goes."""
    settings = _deployment_settings(flags) | _container_settings(flags)
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


def _container_settings(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a deployment request that these options decide.

    Raises:
        click.UsageError: they contradict each other.
    """
    words = ("image", "memory_bytes", "cpus", "gpus")
    given = {name: flags[name] for name in words if flags[name] is not None}
    runtime = flags["runtime"] or ("docker" if flags["image"] else "process")
    if given and runtime == "process":
        flag = next(iter(given)).removesuffix("_bytes")
        raise click.UsageError(f"--{flag} is for containers: --runtime docker")
    check_limits(flags["memory_bytes"], flags["cpus"], flags["gpus"])
    return {"runtime": runtime, **given}


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
    app = None if flags["no_app"] else flags["app"] or flags["name"]
    _check_names(flags["name"], app, flags["version"])
    return {"model": flags["name"], "app": app, "input_type": _input_type(flags)}


def _input_type(flags: dict[str, Any]) -> str | None:
    given = flags["input_type"]
    return None if given is None else InputType.parse(given).value


def _bundle_request(
    session: Session, target: str, flags: dict[str, Any], progress: Progress
) -> tuple[dict[str, Any], AdminClient]:
    """Bundle and upload a target; return what its deployment asks for, and of which daemon."""
    input_type = _input_type(flags)
    example = read_example(flags["example"], input_type)
    options = BundleOptions(
        input_type=input_type,
        method=flags["method"],
        example=example.base64 if isinstance(example, File) else example,
        skip_test=flags["skip_test"],
        include=flags["include"],
        schema=_schema(flags["columns"], flags["schema"]),
        extra=flags["extra_columns"],
        output=flags["output"],
        concurrency=flags["concurrency"],
        load_timeout_s=session.config.load_timeout_s,
    )
    started = time.monotonic()
    plan = bundling.plan_bundle(parse_target(target), options, Path.cwd())
    for remark in plan.found.remarks:
        progress.on_warning(remark)
    name = _model_name(plan, flags["name"], progress)
    app = None if flags["no_app"] else flags["app"] or name
    _check_names(name, app, flags["version"])
    planned = time.monotonic()
    client = _daemon(session, progress, may_start=not flags["no_start"])
    sending = time.monotonic()
    digest = _upload(client, plan)
    # A daemon that had to be started is no part of the bundle's time.
    progress.example_file = example if isinstance(example, File) else None
    progress.on_bundled(plan, digest, (time.monotonic() - sending + planned - started) * 1000)
    request = {
        "model": name,
        "app": app,
        "bundle": digest,
        "source": str(plan.target.path),
        "is_name_given": flags["name"] is not None,
    }
    return request, client


def _deploy(
    client: AdminClient, request: dict[str, Any], progress: Progress, *, is_waiting: bool
) -> None:
    if not is_waiting:
        progress.on_accepted(client.post("/deployments?wait=false", request))
        return
    try:
        for event in client.events("/deployments", request):
            progress.on_event(event)
    except KeyboardInterrupt:
        progress.on_interrupt()
        raise
    finally:
        progress.settle()
    progress.finish()


def _schema(columns: str | None, file: Path | None) -> dict[str, Any] | None:
    if columns is not None and file is not None:
        raise click.UsageError("--columns and --schema say the same: give one of them")
    if columns is not None:
        return schema_of_columns(columns)
    return None if file is None else schema_of_file(file)


def _deployment_settings(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the deployment request that flags alone decide."""
    if flags["no_app"] and flags["app"]:
        raise click.UsageError("--app and --no-app contradict each other")
    if flags["batching"] != "aimd" and flags["max_batch"] > 0:
        raise click.UsageError("--batching is for a batch size that adapts, --max-batch N fixes it")
    words = ("version", "max_batch", "batching", "replicas", "default_output", "slo_us")
    given = {name: flags[name] for name in words}
    given["batch_wait_us"] = round(flags["batch_wait_s"] * 1e6)
    return given | ({"is_cached": False} if flags["no_cache"] else {})


def _model_name(plan: BundlePlan, given: str | None, progress: Progress) -> str:
    if given is not None:
        return given
    name, why = choose_name(plan)
    if why:
        progress.on_note(f"the model is named {name}, as {why}")
    return name


def _check_names(name: str, app: str | None, version: str | None) -> None:
    """Refuse names before anything is sent."""
    names.check_model_name(name)
    if app is not None:
        names.check_application_name(app)
    if version is not None:
        names.check_version_name(version)


def _daemon(session: Session, progress: Progress, *, may_start: bool) -> AdminClient:
    """Return a client of the running daemon; one is started where none runs and it may be."""
    config = session.config
    # Loading and testing are the daemon's to limit; this is what a broken connection may cost.
    client = session.client(config.load_timeout_s + config.test_timeout_s + 30.0)
    try:
        client.get("/status")
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


def _upload(client: AdminClient, plan: BundlePlan) -> str:
    """Send the bundle if the daemon does not have it, and return its digest.

    It is packed while it is sent: nothing of the model's size is written on this side.
    """
    try:
        packed = bundling.packed(plan)
        digest = packed.digest()
        if not client.has(f"/bundles/{digest}"):
            client.upload(f"/bundles/{digest}", packed.chunks(), packed.size)
    except OSError as error:
        where = (
            f"{error.filename} cannot be read" if error.filename else "the bundle cannot be sent"
        )
        raise TargetError(f"{where}: {error.strerror or error}") from error
    return digest

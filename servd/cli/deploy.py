"""`servd deploy`: from a file to an application that answers."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from servd.cli.command import verb
from servd.cli.containers import check_image_only, container_options, container_settings
from servd.cli.session import Session, pass_session
from servd.cli.values import BatchSize, Duration, WholeNumber, default_remark
from servd.errors import TargetError

if TYPE_CHECKING:
    from servd.cli.deploy_progress import Progress
    from servd.client.admin import AdminClient
    from servd.packing.bundling import BundleOptions, BundlePlan


@verb(
    "deploy",
    examples=(
        "servd deploy func.py:feature_sum --input-type doubles --default -1.0",
        "servd deploy model.pkl --runtime docker --memory 2g --replicas 2",
    ),
)
@click.argument("target", metavar="TARGET", required=False)
@click.option("--name", help="The model's name.  [default: that of the object or file]")
@click.option("--version", help="Its version.  [default: the next whole number]")
@click.option("--app", help="The application's name.  [default: the model's]")
@click.option("--no-app", is_flag=True, help="Make no application.")
@click.option(
    "--input-type", metavar="TYPE", help="integers, floats, doubles, strings, bytes, any."
)
@click.option(
    "--default", "default_output", metavar="OUTPUT", help="Answer where none comes in time."
)
@click.option(
    "--slo",
    "slo_s",
    type=Duration(is_positive=True),
    metavar="DURATION",
    help="Longest time for an answer; later ones get --default or 504.  [default: 100ms]",
)
@click.option(
    "--replicas",
    type=WholeNumber(1),
    metavar="N",
    help="Copies of the model.  [default: 1]",
)
@click.option(
    "--max-batch",
    type=BatchSize(),
    default="adaptive",
    metavar="N",
    help="Most inputs in one call.  [default: adaptive]",
)
@click.option(
    "--batching",
    type=click.Choice(["aimd", "quantile"]),
    default="aimd",
    metavar="HOW",
    help="How it adapts: aimd, quantile.  [default: aimd]",
)
@click.option(
    "--batch-wait",
    "batch_wait_s",
    type=Duration(),
    default="0s",
    metavar="DURATION",
    help="Time a batch waits to fill.  [default: 0s]",
)
@click.option("--method", help="Method of the class or model.  [default: predict]")
@click.option("--example", metavar="JSON", help="One input, for the test call.")
@click.option("--skip-test", is_flag=True, help="Do not make the test call.")
@click.option("--include", metavar="GLOB", multiple=True, help="Further files; may be repeated.")
@container_options
@click.option("--no-wait", is_flag=True, help="Do not wait until it is live.")
@click.option("--no-start", is_flag=True, help="Do not start a daemon if none runs.")
@pass_session
def command(session: Session, /, target: str | None, **flags: Any) -> None:
    """Deploy a function, a class or a pickled model, as processes or as containers.

    TARGET is file.py:name, file.py with one function or class, or a .pkl, .pickle or .joblib file.
    """
    from servd.cli.deploy_progress import Progress  # noqa: PLC0415 - help does without

    settings = _deployment_settings(flags) | container_settings(flags)
    progress = Progress(session)
    if remark := default_remark(flags["default_output"]):
        progress.on_warning(remark)
    if target is None:
        check_image_only(flags)
        request = _image_request(flags)
        client = _daemon(session, progress, may_start=not flags["no_start"])
    else:
        request, client = _bundle_request(session, target, flags, progress)
    _deploy(client, request | settings, progress, is_waiting=not flags["no_wait"])


def _image_request(flags: dict[str, Any]) -> dict[str, Any]:
    """Return what a deployment of an image alone asks for."""
    from servd.datatypes import InputType  # noqa: PLC0415 - help does without

    given = flags["input_type"]
    app = None if flags["no_app"] else flags["app"] or flags["name"]
    _check_names(flags["name"], app, flags["version"])
    input_type = None if given is None else InputType.parse(given).value
    return {"model": flags["name"], "app": app, "input_type": input_type}


def _bundle_request(
    session: Session, target: str, flags: dict[str, Any], progress: "Progress"
) -> "tuple[dict[str, Any], AdminClient]":
    """Bundle and upload a target; return what its deployment asks for, and of which daemon."""
    from servd.packing import bundling  # noqa: PLC0415 - help does without
    from servd.packing.targets import parse_target  # noqa: PLC0415

    options = _bundle_options(flags, session.config.load_timeout_s)
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
    client: "AdminClient", request: dict[str, Any], progress: "Progress", *, is_waiting: bool
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


def _bundle_options(flags: dict[str, Any], load_timeout_s: float) -> "BundleOptions":
    from servd.datatypes import InputType  # noqa: PLC0415
    from servd.packing.bundling import BundleOptions  # noqa: PLC0415 - help does without

    given = flags["input_type"]
    return BundleOptions(
        input_type=None if given is None else InputType.parse(given).value,
        method=flags["method"],
        example=_example(flags["example"]),
        skip_test=flags["skip_test"],
        include=flags["include"],
        load_timeout_s=load_timeout_s,
    )


def _example(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise _usage(f"--example is not JSON: {error}") from error


def _deployment_settings(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the deployment request that flags alone decide."""
    if flags["no_app"] and flags["app"]:
        raise _usage("--app and --no-app contradict each other")
    if flags["batching"] != "aimd" and flags["max_batch"] > 0:
        raise _usage("--batching is for a batch size that adapts, --max-batch N fixes it")
    slo_s = flags["slo_s"]
    return {
        "version": flags["version"],
        "max_batch": flags["max_batch"],
        "batching": flags["batching"],
        "batch_wait_us": round(flags["batch_wait_s"] * 1e6),
        "replicas": flags["replicas"],
        "default_output": flags["default_output"],
        "slo_us": None if slo_s is None else max(1, round(slo_s * 1e6)),
    }


def _usage(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())


def _model_name(plan: "BundlePlan", given: str | None, progress: "Progress") -> str:
    from servd.packing.bundling import choose_name  # noqa: PLC0415 - help does without

    if given is not None:
        return given
    name, why = choose_name(plan)
    if why:
        progress.on_note(f"the model is named {name}, as {why}")
    return name


def _check_names(name: str, app: str | None, version: str | None) -> None:
    """Refuse names before anything is sent."""
    from servd import names  # noqa: PLC0415 - help does without

    names.check_model_name(name)
    if app is not None:
        names.check_application_name(app)
    if version is not None:
        names.check_version_name(version)


def _daemon(session: Session, progress: "Progress", *, may_start: bool) -> "AdminClient":
    """Return a client of the running daemon; one is started where none runs and it may be."""
    from servd.cli.spawn import start_daemon  # noqa: PLC0415 - help does without
    from servd.errors import DaemonNotRunningError, StartError  # noqa: PLC0415

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


def _upload(client: "AdminClient", plan: "BundlePlan") -> str:
    """Send the bundle if the daemon does not have it, and return its digest.

    It is packed while it is sent: nothing of the model's size is written on this side.
    """
    from servd.packing import bundling  # noqa: PLC0415 - help does without

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

"""`servd serve-one`: the query API on one port with one model inside, without a daemon."""

import asyncio
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.cli.values import Duration, WholeNumber

if TYPE_CHECKING:
    from servd.config import Config
    from servd.datatypes import Application, ModelVersion
    from servd.processes.serve_one import OneModel


@verb(
    "serve-one",
    examples=(
        "servd serve-one --bundle ~/.local/share/servd/bundles/DIGEST --app iris",
        "docker run -p 5000:5000 iris-standalone:1 --slo 200ms --replicas 2",
    ),
)
@click.option(
    "--bundle",
    required=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of a bundle, which holds model.json.",
)
@click.option(
    "--applications",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What servd build wrote: the version and its applications.",
)
@click.option("--name", help="The model's name.  [default: model]")
@click.option("--app", help="The application's name.  [default: the model's]")
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
    help="Time to answer within.  [default: 100ms]",
)
@click.option(
    "--replicas", type=WholeNumber(1), metavar="N", help="Copies of the model.  [default: 1]"
)
@click.option("--port", metavar="PORT", default="5000", show_default=True, help="0: a free one.")
@click.option("--bind", metavar="ADDRESS", default="0.0.0.0", show_default=True)  # noqa: S104
@click.option(
    "--expect-bundle",
    "expected",
    metavar="DIGEST",
    envvar="SERVD_EXPECT_BUNDLE",
    help="Refuse to serve other files.  [env: SERVD_EXPECT_BUNDLE]",
)
@click.option("--drain", metavar="DURATION", help="Time for running queries at a stop.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@pass_session
def command(session: Session, /, bundle: Path, applications: Path | None, **flags: Any) -> None:
    """Serve one model's bundle: /NAME/predict and /predict, /healthz, /readyz and /metrics.

    Queries must carry the token in SERVD_TOKEN where that is set; else anybody may send them.
    """
    import uvloop  # noqa: PLC0415 - wanted by this verb only

    from servd.processes.serve_one import serve_one  # noqa: PLC0415 - as above
    from servd.system.offspring import offspring  # noqa: PLC0415 - as above

    one = _one_model(bundle, applications, flags)
    # Short, as the path of a unix socket is limited.
    folder = tempfile.mkdtemp(prefix="servd-")
    try:
        config = _config(session, flags, Path(folder))
        offspring.take_in()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_one(one, config, os.environ))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _config(session: Session, flags: dict[str, Any], folder: Path) -> "Config":
    session.data_dir = str(folder)
    given = {"query_port": flags["port"], "admin_port": "0", "bind": "127.0.0.1"}
    given |= {name: flags[name] for name in ("drain", "log_level")}
    config = session.load_config({**given, "frontends": "1"})
    # There is no admin API to guard: without a token everybody who reaches the port may ask.
    return replace(config, bind=flags["bind"], public_queries=config.token is None)


def _one_model(bundle: Path, applications: Path | None, flags: dict[str, Any]) -> "OneModel":
    import msgspec  # noqa: PLC0415 - help does without

    from servd.processes.serve_one import OneModel  # noqa: PLC0415

    version, apps = _from_flags(bundle, flags) if applications is None else _read(applications)
    version = msgspec.structs.replace(version, bundle=version.bundle or _content(bundle))
    _check_expected(version, flags["expected"])
    changes: dict[str, Any] = {}
    if flags["slo_s"] is not None:
        changes["slo_us"] = max(1, round(flags["slo_s"] * 1e6))
    if flags["default_output"] is not None:
        changes["default_output"] = flags["default_output"]
    if flags["replicas"] is not None:
        version = msgspec.structs.replace(version, replicas=flags["replicas"])
    changed = tuple(msgspec.structs.replace(app, **changes) for app in apps)
    return OneModel(version, changed, bundle)


def _check_expected(version: "ModelVersion", expected: str | None) -> None:
    """Refuse to serve another model than who started this was told that the image holds."""
    from servd.errors import BundleError  # noqa: PLC0415 - help does without

    if expected and version.bundle != expected:
        raise BundleError(
            f"{version.id} in this image has the bundle {version.bundle}, "
            f"but its deployment expects {expected}: it answers nothing",
            hint="build and push the image again under the name that the deployment has",
        )


def _from_flags(
    bundle: Path, flags: dict[str, Any]
) -> "tuple[ModelVersion, tuple[Application, ...]]":
    from model_runtime import manifest  # noqa: PLC0415 - help does without
    from model_runtime.bundle import BundleFormatError  # noqa: PLC0415
    from servd import names  # noqa: PLC0415
    from servd.datatypes import Application, InputType, ModelVersion  # noqa: PLC0415
    from servd.deploying.plan import DEFAULT_SLO_US  # noqa: PLC0415
    from servd.errors import BundleError  # noqa: PLC0415

    try:
        found = manifest.read(bundle)
    except BundleFormatError as error:
        raise BundleError(
            f"{bundle}: {error}", hint="--bundle is a folder with model.json"
        ) from error
    name = flags["name"] or "model"
    app = flags["app"] or name
    names.check_model_name(name)
    names.check_application_name(app)
    kind = InputType.parse(flags["input_type"] or found.input_type)
    content = _content(bundle)
    version = ModelVersion(model=name, version="1", input_type=kind, bundle=content, replicas=1)
    return version, (Application(name=app, input_type=kind, slo_us=DEFAULT_SLO_US),)


def _read(path: Path) -> "tuple[ModelVersion, tuple[Application, ...]]":
    import msgspec  # noqa: PLC0415 - help does without

    from servd.errors import ConfigError  # noqa: PLC0415
    from servd.registry.snapshot import Registered  # noqa: PLC0415

    try:
        found = msgspec.json.decode(path.read_bytes(), type=Registered)
        (version,) = found.versions
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(f"--applications {path}: {error}") from error
    if not found.applications:
        raise ConfigError(f"--applications {path}: it holds no application")
    return version, tuple(found.applications)


def _content(bundle: Path) -> str:
    """Return the digest of a bundle's files; of a folder that is not as servd packs them, a name.

    A replica of such a folder does not say what it holds.
    """
    from model_runtime.bundle import BundleFormatError, digest_of  # noqa: PLC0415 - as above

    try:
        return digest_of(bundle)
    except (BundleFormatError, OSError):
        return "bundle"

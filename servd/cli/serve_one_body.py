"""What `servd serve-one` does. Loaded when it is run: all that serves comes along."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from model_runtime import manifest
from model_runtime.bundle import BundleFormatError, digest_of
from servd import names
from servd.cli.session import Session
from servd.config import Config
from servd.datatypes import PROCESS, Application, InputType, ModelVersion
from servd.deploying.plan import DEFAULT_SLO_US
from servd.errors import BundleError, ConfigError
from servd.processes import lifecycle
from servd.processes.serve_one import OneModel, serve_one
from servd.registry.limits import check_device, check_limits, check_threads
from servd.registry.snapshot import Registered


def serve(session: Session, /, bundle: Path, applications: Path | None, **flags: Any) -> None:
    """Serve the one model until told to end."""
    one = _one_model(bundle, applications, flags)
    # Short, as the path of a unix socket is limited.
    folder = tempfile.mkdtemp(prefix="servd-")
    try:
        config = _config(session, flags, Path(folder))
        lifecycle.run(serve_one(one, config, os.environ))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _config(session: Session, flags: dict[str, Any], folder: Path) -> Config:
    session.data_dir = str(folder)
    given = {"query_port": flags["port"], "admin_port": "0", "bind": "127.0.0.1"}
    given |= {name: flags[name] for name in ("drain", "log_level", "show_errors", "cors")}
    config = session.load_config({**given, "frontends": "1"})
    # There is no admin API to guard: without a token everybody who reaches the port may ask.
    return replace(config, bind=flags["bind"], public_queries=config.token is None)


def _one_model(bundle: Path, applications: Path | None, flags: dict[str, Any]) -> OneModel:
    one = _from_flags(bundle, flags) if applications is None else _read(applications, bundle)
    version = msgspec.structs.replace(one.version, bundle=one.version.bundle or _content(bundle))
    _check_expected(version, flags["expected"])
    given = {name: flags[name] for name in ("slo_us", "default_output")}
    changes = {name: value for name, value in given.items() if value is not None}
    version = _with_limits(version, flags)
    changed = tuple(msgspec.structs.replace(app, **changes) for app in one.applications)
    return replace(one, version=version, applications=changed)


def _with_limits(version: ModelVersion, flags: dict[str, Any]) -> ModelVersion:
    """Return the version with what its replicas may use here, and how many there are.

    Raises:
        InvalidValueError: no replica can be kept to that.
    """
    names = ("replicas", "memory_bytes", "cpus", "threads", "device")
    given = {name: flags[name] for name in names if flags[name] is not None}
    check_limits(given.get("memory_bytes"), given.get("cpus"), None, PROCESS)
    check_device(given.get("device"), None)
    check_threads(given.get("threads"))
    return msgspec.structs.replace(version, **given)


def _check_expected(version: ModelVersion, expected: str | None) -> None:
    """Refuse to serve another model than who started this was told that the image holds."""
    if expected and version.bundle != expected:
        raise BundleError(
            f"{version.id} in this image has the bundle {version.bundle}, "
            f"but its deployment expects {expected}: it answers nothing",
            hint="build and push the image again under the name that the deployment has",
        )


def _from_flags(bundle: Path, flags: dict[str, Any]) -> OneModel:
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
    word = flags["input_type"] or found.input_type
    is_open = word == manifest.AUTO
    kind = InputType.DOUBLES if is_open else InputType.parse(word)
    content = _content(bundle)
    version = ModelVersion(model=name, version="1", input_type=kind, bundle=content, replicas=1)
    application = Application(name=app, input_type=kind, slo_us=DEFAULT_SLO_US)
    return OneModel(version, (application,), bundle, is_open)


def _read(path: Path, bundle: Path) -> OneModel:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Registered)
        (version,) = found.versions
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(f"--applications {path}: {error}") from error
    if not found.applications:
        raise ConfigError(f"--applications {path}: it holds no application")
    return OneModel(version, tuple(found.applications), bundle, routes=tuple(found.routes or ()))


def _content(bundle: Path) -> str:
    """Return the digest of a bundle's files; of a folder that is not as servd packs them, a name.

    A replica of such a folder does not say what it holds.
    """
    try:
        return digest_of(bundle)
    except (BundleFormatError, OSError):
        return "bundle"

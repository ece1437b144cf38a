"""`python -m model_runtime`: one replica process. Launched by servd/launchers or by an image."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_runtime.carriers import TLS_SCHEME
from model_runtime.contract import PARENT_VARIABLE, die_with_parent
from model_runtime.health import parse_address
from model_runtime.init import stand_in
from model_runtime.keys import KeyFileError, ReplicaKeys, read_replica_keys
from model_runtime.loop import Options, Replica
from model_runtime.signals import StopSignal

if TYPE_CHECKING:
    from model_runtime.tls import Identity


def main() -> int:
    """Run a replica; return the exit status."""
    status = stand_in()
    if status is not None:
        return status
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is not None:  # none in an image
        die_with_parent(int(parent))
    _take_users_mask()
    stop = StopSignal()
    stop.install()
    code = Replica(_options(), stop.is_told, on_idle=stop.take_back).run()
    stop.tell_model()
    return code


def _options() -> Options:
    parser = _parser(os.environ)
    given = parser.parse_args()
    is_tls = given.listen.startswith(TLS_SCHEME)
    if is_tls and given.tls is None:
        parser.error(f"--listen {given.listen} needs --tls DIR: a certificate and a key")
    if given.tls is not None and not is_tls:
        parser.error(f"--tls is for --listen tls://HOST:PORT, not for {given.listen}")
    return Options(
        listen=given.listen,
        bundle=given.bundle,
        model=given.model,
        version=given.version,
        replica=given.replica,
        max_batch=given.max_batch,
        orphan_timeout_s=given.orphan_timeout,
        keys=given.tls or given.curve,
        health=given.health,
        predict_timeout_s=given.predict_timeout,
        work=given.work,
    )


def _seconds(text: str) -> float:
    """Return seconds; with a unit, as a daemon's setting in the environment may have one."""
    number = text.rstrip("hms")
    return float(number) * {"": 1, "s": 1, "ms": 0.001, "m": 60, "h": 3600}[text[len(number) :]]


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser; what an image's command line leaves out, its container's variables say."""
    parser = argparse.ArgumentParser(prog="python -m model_runtime", description=__doc__)

    def add(name: str, text: str, variable: str = "", **settings: Any) -> None:
        variable = variable or f"SERVD_{name.upper().replace('-', '_')}"
        if variable in environ:
            settings |= {"default": environ[variable], "required": False}
        parser.add_argument(f"--{name}", help=f"{text} [{variable}]", **settings)

    add("listen", "where to listen: unix://PATH, tls://HOST:PORT, tcp://HOST:PORT", required=True)
    parser.add_argument("--bundle", required=True, type=Path, help="folder with model.json")
    add("model", "what it is deployed as", "SERVD_MODEL_NAME", required=True)
    add("version", "and which of its versions it is", "SERVD_MODEL_VERSION", required=True)
    add("replica", "which of the version's replicas it is", type=int, default=0)
    add("max-batch", "-1: any size", type=int, default=-1)
    add("orphan-timeout", "end after so many silent seconds", type=float)
    add("curve", "folder with replica.secret and frontend.public", type=_keys)
    add("tls", "folder with replica.crt, replica.key and frontend.crt", type=_identity)
    add("health", "HOST:PORT for /healthz and /readyz", type=host_port)
    add("predict-timeout", "/healthz fails after a call so long", type=_seconds, default=60.0)
    add("work", "folder for a copy of the bundle, in which the model runs", type=Path)
    return parser


def host_port(text: str) -> str:
    """Return an address that argparse may take; its name is in the refusal."""
    parse_address(text)
    return text


def _keys(folder: str) -> ReplicaKeys:
    try:
        return read_replica_keys(Path(folder))
    except KeyFileError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _identity(folder: str) -> Identity:
    from model_runtime.tls import read_identity  # noqa: PLC0415 - loads OpenSSL

    try:
        return read_identity(Path(folder), "replica")
    except KeyFileError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _take_users_mask() -> None:
    """Give the model the file mode creation mask of the daemon's user, not the daemon's own."""
    mask = os.environ.pop("SERVD_UMASK", None)
    if mask is not None:
        os.umask(int(mask, 8))


if __name__ == "__main__":
    sys.exit(main())

"""`deploy_bentoml`: an API of a saved service as a model of a Clipper cluster.

Called by users' scripts. The cluster is what a connection of servd.clipper, or clipper_admin's, is
connected with. May import the client, and what packs.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from model_runtime.bento.exceptions import BentoMLException
from servd.bento.saved_bundle import described
from servd.client.client import Client
from servd.errors import ServdError
from servd.packing.bentos import name_of
from servd.packing.saved_bundle import in_clipper

__all__ = ["deploy_bentoml", "get_clipper_compatible_string"]

logger: Final = logging.getLogger(__name__)

get_clipper_compatible_string = in_clipper


def deploy_bentoml(
    clipper_conn: Any,
    bundle_path: str | Path,
    api_name: str,
    model_name: str | None = None,
    labels: Sequence[str] | None = None,
    build_envs: dict[str, str] | None = None,
) -> tuple[str, str]:
    """Deploy an API that takes one of Clipper's inputs; return the model's name and version.

    `build_envs` is for building images, which is not needed.

    Raises:
        BentoMLException: there is no such API, it does not take Clipper's inputs, the connection is
            none yet, or the model cannot be loaded; the message says which, and why.
    """
    del build_envs
    if not clipper_conn.connected:
        raise BentoMLException(
            "No connection to Clipper cluster. Call ClipperConnection.connect to connect to an "
            "existing cluster or ClipperConnection.start_clipper to create a new one"
        )
    bundle = described(bundle_path)
    api = next((each for each in bundle.apis if each.name == api_name), None)
    if api is None:
        raise BentoMLException(f"Can't find API '{api_name}' in BentoService bundle {bundle.name}")
    if not api.is_clipper:
        raise BentoMLException(
            "Only BentoService APIs using ClipperInput can be deployed to Clipper"
        )
    name = model_name or name_of(bundle, api.name)
    version = in_clipper(bundle.version)
    _deploy(clipper_conn.cm, f"{bundle.folder}:{api.name}", name, version, labels)
    logger.info("Done deploying model %s:%s.", name, version)
    return name, version


def _deploy(
    manager: Any, target: str, name: str, version: str, labels: Sequence[str] | None
) -> None:
    """Deploy to the daemon that a connection's manager stands for.

    Raises:
        BentoMLException: it could not be loaded, or was refused.
    """
    is_docker = getattr(manager, "runs_processes", True) is False
    try:
        _client(manager).deploy(
            target,
            name=name,
            version=version,
            app=False,
            labels=list(labels or ()),
            runtime="docker" if is_docker else None,
        )
    except ServdError as error:
        parts = (error.message, error.traceback, error.hint)
        raise BentoMLException("\n".join(part.rstrip() for part in parts if part)) from error
    on_change = getattr(manager, "on_change", None)
    if on_change is not None:
        on_change()


def _client(manager: Any) -> Client:
    cluster = getattr(manager, "cluster", None)
    if cluster is not None:
        client: Client = cluster.client
        return client
    url = f"http://{manager.get_admin_addr()}"
    return Client(url, token=getattr(manager, "token", None))

"""The part of a connection that is one REST call each: applications, models, links, versions.

`ClipperConnection` (clipper_admin.py) inherits it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from servd.clipper import rest
from servd.clipper.container_manager import CONTAINERLESS_MODEL_IMAGE, ClusterAdapter
from servd.clipper.exceptions import ClipperException, UnconnectedException

logger: Final = logging.getLogger("servd.clipper.clipper_admin")

_CHANGES: Final = frozenset(
    {
        *("add_app", "delete_app", "add_model_links", "delete_model_links", "add_model"),
        *("set_model_version", "delete_versioned_model"),
    }
)
"""Calls after which a manager that has copied the registry to somewhere is told (`on_change`)."""


class RegistryCalls:
    """What a cluster has registered, and changes of that. Every method raises UnconnectedException
    before the connection is there, and ClipperException where the cluster refuses.
    """

    def __init__(self, container_manager: Any) -> None:
        self.connected = False
        self.cm = container_manager
        self.logger = ClusterAdapter(logger, {"cluster_name": self.cm.cluster_identifier})

    def _check_connected(self) -> None:
        if not self.connected:
            raise UnconnectedException

    def _call(self, name: str, body: Mapping[str, Any]) -> rest.Reply:
        """POST to the management API; return the answer where it is 200."""
        self._check_connected()
        token = getattr(self.cm, "token", None)
        reply = rest.send("POST", self.cm.get_admin_addr(), f"/admin/{name}", body, token=token)
        self._check(reply)
        if name in _CHANGES:
            self._tell_manager()
        return reply

    def _check(self, reply: rest.Reply) -> None:
        self.logger.debug(reply.text)
        if reply.status != 200:
            error = reply.failure()
            self.logger.error(error.msg)
            raise error

    def _tell_manager(self) -> None:
        """Tell a manager that wants to know that the registry has another state."""
        on_change = getattr(self.cm, "on_change", None)
        if on_change is not None:
            on_change()

    # --- applications ---

    def register_application(
        self, name: str, input_type: str, default_output: str, slo_micros: int
    ) -> None:
        """Register an application: an endpoint that answers within `slo_micros`, or its default."""
        self._call(
            "add_app",
            {
                "name": name,
                "input_type": input_type,
                "default_output": default_output,
                "latency_slo_micros": slo_micros,
            },
        )
        self.logger.info("Application %s was successfully registered", name)

    def unregister_application(self, name: str) -> None:
        """Remove an application; its models stay."""
        self._call("delete_app", {"name": name})
        self.logger.info("Application %s was successfully unregistered", name)

    def delete_application(self, name: str) -> None:
        """Do what `unregister_application` does; the name of before."""
        self.logger.warning("[DEPRECATED] Use 'unregister_application' API instead of this.")
        self.unregister_application(name)

    def get_all_apps(self, verbose: bool = False) -> list[Any]:
        """Return the applications' names; `verbose`: what is registered of each, as dicts."""
        found: list[Any] = self._call("get_all_applications", {"verbose": verbose}).json()
        return found

    def get_app_info(self, name: str) -> dict[str, Any] | None:
        """Return what is registered of an application; None for one that is not."""
        info: dict[str, Any] = self._call("get_application", {"name": name}).json()
        if not info:
            self.logger.warning("Application %s is not registered with Clipper", name)
        return info or None

    # --- links ---

    def link_model_to_app(self, app_name: str, model_name: str) -> None:
        """Have a model answer an application; both take the same input type."""
        self._call("add_model_links", {"app_name": app_name, "model_names": [model_name]})
        self.logger.info("Model %s is now linked to application %s", model_name, app_name)

    def unlink_model_from_app(self, app_name: str, model_name: str) -> None:
        """Have a model not answer an application any more."""
        self._call("delete_model_links", {"app_name": app_name, "model_names": [model_name]})
        logger.info("Model %s is now removed to application %s", model_name, app_name)

    def get_linked_models(self, app_name: str) -> list[str]:
        """Return the names of the models that answer an application."""
        found: list[str] = self._call("get_linked_models", {"app_name": app_name}).json()
        return found

    # --- models ---

    def register_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str | None = None,
        labels: Sequence[str] | None = None,
        batch_size: int = -1,
    ) -> None:
        """Register a version of a model that runs already, or that has no container (no image)."""
        version = str(version)
        self._call(
            "add_model",
            {
                "model_name": name,
                "model_version": version,
                "labels": [] if labels is None else list(labels),
                "input_type": input_type,
                "container_name": CONTAINERLESS_MODEL_IMAGE if image is None else image,
                "model_data_path": "DEPRECATED",
                "batch_size": batch_size,
            },
        )
        self.logger.info("Successfully registered model %s:%s", name, version)

    def get_all_models(self, verbose: bool = False) -> list[Any]:
        """Return all versions as "name:version"; `verbose`: what is registered of each."""
        found: list[Any] = self._call("get_all_models", {"verbose": verbose}).json()
        return found

    def get_model_info(self, name: str, version: str | int) -> dict[str, Any] | None:
        """Return what is registered of a version of a model; None for one that is not."""
        version = str(version)
        named = {"model_name": name, "model_version": version}
        info: dict[str, Any] = self._call("get_model", named).json()
        if not info:
            self.logger.warning("Model %s:%s is not registered with Clipper.", name, version)
        return info or None

    def get_current_model_version(self, name: str) -> str:
        """Return the version of a model that answers queries.

        Raises:
            ClipperException: the model has none.
        """
        for model in self.get_all_models(verbose=True):
            if model["model_name"] == name and model["is_current_version"]:
                return str(model["model_version"])
        raise ClipperException(f"No versions of model {name} registered with Clipper")

    def get_all_model_replicas(self, verbose: bool = False) -> list[Any]:
        """Return all replicas as "name:version:replica"; `verbose`: as dicts."""
        found: list[Any] = self._call("get_all_containers", {"verbose": verbose}).json()
        return found

    def get_model_replica_info(
        self, name: str, version: str | int, replica_id: int
    ) -> dict[str, Any] | None:
        """Return what is known of a replica; None where there is none of that number."""
        version = str(version)
        info: dict[str, Any] = self._call(
            "get_container",
            {"model_name": name, "model_version": version, "replica_id": replica_id},
        ).json()
        if not info:
            self.logger.warning(
                "No model replica with ID %s found for model %s:%s", replica_id, name, version
            )
        return info or None

    def _unregister_versioned_models(self, versions: Mapping[str, Sequence[str]]) -> None:
        """Forget versions, one after the other; the first that is refused ends it."""
        for name, listed in versions.items():
            for version in listed:
                named = {"model_name": name, "model_version": version}
                self._call("delete_versioned_model", named)
                logger.info("Model %s:%s was successfully deleted", name, version)

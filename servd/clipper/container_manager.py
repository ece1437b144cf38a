"""What a connection needs of whoever starts and finds a cluster. Implemented by the managers here,
and by users' own, which need not inherit from it.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

from servd.clipper.exceptions import ClipperException

CLIPPER_INTERNAL_QUERY_PORT: Final = 1337
CLIPPER_INTERNAL_MANAGEMENT_PORT: Final = 1338
CLIPPER_INTERNAL_RPC_PORT: Final = 7000
CLIPPER_INTERNAL_METRIC_PORT: Final = 1390
CLIPPER_INTERNAL_REDIS_PORT: Final = 6379
CLIPPER_INTERNAL_FLUENTD_PORT: Final = 24224

CLIPPER_DOCKER_LABEL: Final = "ai.clipper.container.label"
CLIPPER_NAME_LABEL: Final = "ai.clipper.name"
CLIPPER_MODEL_CONTAINER_LABEL: Final = "ai.clipper.model_container.label"
CLIPPER_QUERY_FRONTEND_CONTAINER_LABEL: Final = "ai.clipper.query_frontend.label"
CLIPPER_MGMT_FRONTEND_CONTAINER_LABEL: Final = "ai.clipper.management_frontend.label"
CONTAINERLESS_MODEL_IMAGE: Final = "NO_CONTAINER"

_DELIMITER: Final = "_"
"""Between name and version of a label: neither may have one."""


class ClusterAdapter(logging.LoggerAdapter[logging.Logger]):
    """Puts the name of the cluster before each message."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[str, MutableMapping[str, Any]]:
        """Return what is logged in the place of a message; called by logging."""
        return f"[{(self.extra or {})['cluster_name']}] {msg}", kwargs


def create_model_container_label(name: str, version: str) -> str:
    """Return what the containers of a model's version are known by."""
    return f"{name}{_DELIMITER}{version}"


def parse_model_container_label(label: str) -> list[str]:
    """Return the name and the version that are in a label.

    Raises:
        ClipperException: it is none.
    """
    found = label.split(_DELIMITER)
    if len(found) != 2:
        raise ClipperException(f"Unable to parse model container label {label}")
    return found


class ContainerManager(ABC):
    """All that `ClipperConnection` asks for. Addresses are "host:port", without a scheme.

    `cluster_identifier` is what the cluster is called in logs and in the names of images.
    """

    cluster_identifier: str

    @abstractmethod
    def start_clipper(
        self,
        query_frontend_image: str,
        mgmt_frontend_image: str,
        frontend_exporter_image: str,
        cache_size: int,
        qf_http_thread_pool_size: int,
        qf_http_timeout_request: int,
        qf_http_timeout_content: int,
        num_frontend_replicas: int,
    ) -> None:
        """Start a cluster, and be connected with it on return."""

    @abstractmethod
    def connect(self) -> None:
        """Find a cluster that runs."""

    @abstractmethod
    def deploy_model(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1
    ) -> None:
        """Start that many replicas of an image."""

    @abstractmethod
    def get_num_replicas(self, name: str, version: str) -> int:
        """Return how many replicas a version has."""

    @abstractmethod
    def set_num_replicas(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int
    ) -> None:
        """Add replicas of a version, or take some away."""

    @abstractmethod
    def get_logs(self, logging_dir: str) -> list[str]:
        """Write all logs into a folder, which is made; return the paths of the files."""

    @abstractmethod
    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """End all replicas of these versions, by the names of their models."""

    @abstractmethod
    def stop_all_model_containers(self) -> None:
        """End the replicas of all models."""

    @abstractmethod
    def stop_all(self, graceful: bool = True) -> None:
        """End the cluster; without `graceful` at once."""

    @abstractmethod
    def get_admin_addr(self) -> str:
        """Return where the management API answers."""

    @abstractmethod
    def get_query_addr(self) -> str:
        """Return where queries are answered."""

    @abstractmethod
    def get_metric_addr(self) -> str:
        """Return where the metrics are."""

"""The manager whose replicas are containers of this machine's Docker engine."""

import os
from collections.abc import Mapping
from typing import Any, Final

from servd.client.admin import AdminClient
from servd.clipper import image_builds, model_images
from servd.clipper.clusters import Ports
from servd.clipper.container_manager import (
    CLIPPER_INTERNAL_FLUENTD_PORT,
    CLIPPER_INTERNAL_MANAGEMENT_PORT,
    CLIPPER_INTERNAL_QUERY_PORT,
    CLIPPER_INTERNAL_REDIS_PORT,
    CLIPPER_INTERNAL_RPC_PORT,
)
from servd.clipper.daemon_manager import DaemonContainerManager
from servd.clipper.exceptions import ClipperException
from servd.clipper.image_builds import ModelBuild
from servd.datatypes import DOCKER
from servd.errors import ServdError
from servd.quantities import parse_size

_RUNTIME_VARIABLE: Final = "SERVD_CLIPPER_RUNTIME"
_WITHOUT_DOCKER: Final = (
    "\nOr do without it: LocalContainerManager in the place of DockerContainerManager, or "
    f"{_RUNTIME_VARIABLE}=process in the environment, runs models as processes of this machine"
)
_NANO: Final = 1_000_000_000
_TAKEN: Final = frozenset({"mem_limit", "nano_cpus"})


class DockerContainerManager(DaemonContainerManager):
    """A cluster of containers: a servd daemon of this machine, and replicas that Docker runs.

    There is no Redis, Prometheus, Fluentd, or container of a front end, so what is said of these
    has no effect. `docker_ip_address` is what addresses begin with.

    Args:
        extra_container_kwargs: of these `mem_limit` and `nano_cpus` are limits of each replica;
            others are named in the log and left out.

    Raises:
        ClipperException: a network "host" is asked for.
    """

    logger_name = "servd.clipper.docker.docker_container_manager"

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        docker_ip_address: str = "localhost",
        use_centralized_log: bool = False,
        fluentd_port: int = CLIPPER_INTERNAL_FLUENTD_PORT,
        clipper_query_port: int = CLIPPER_INTERNAL_QUERY_PORT,
        clipper_management_port: int = CLIPPER_INTERNAL_MANAGEMENT_PORT,
        clipper_rpc_port: int = CLIPPER_INTERNAL_RPC_PORT,
        redis_ip: str | None = None,
        redis_port: int = CLIPPER_INTERNAL_REDIS_PORT,
        prometheus_port: int = 9090,
        docker_network: str = "clipper_network",
        extra_container_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if docker_network == "host":
            raise ClipperException(
                "DockerContainerManager does not support running Clipper on the "
                '"host" docker network. Please pick a different network name'
            )
        ports = Ports(clipper_query_port, clipper_management_port)
        super().__init__(cluster_name, docker_ip_address, ports)
        self.centralize_log = use_centralized_log
        self.fluentd_port = fluentd_port
        self.clipper_rpc_port = clipper_rpc_port
        self.redis_ip = redis_ip
        self.external_redis = redis_ip is not None
        self.redis_port = redis_port
        self.prometheus_port = prometheus_port
        self.docker_network = docker_network
        self.extra_container_kwargs = dict(extra_container_kwargs or {})

    @property
    def docker_client(self) -> Any:
        """Docker's own client.

        Raises:
            ClipperException: no engine answers; the message says what to do.
        """
        try:
            return image_builds.engine()
        except ClipperException as error:
            raise ClipperException(error.msg + _WITHOUT_DOCKER) from error

    @property
    def runs_processes(self) -> bool:
        """Whether the environment asks for processes in the place of containers."""
        return os.environ.get(_RUNTIME_VARIABLE) == "process"

    def start_clipper(
        self,
        query_frontend_image: str,
        mgmt_frontend_image: str,
        frontend_exporter_image: str,
        cache_size: int,
        qf_http_thread_pool_size: int,
        qf_http_timeout_request: int,
        qf_http_timeout_content: int,
        num_frontend_replicas: int = 1,
    ) -> None:
        """See DaemonContainerManager.

        Raises:
            ClipperException: no engine answers, or several front ends are wanted.
        """
        if num_frontend_replicas != 1:
            raise ClipperException(
                "Docker container manager's query frontend scale-out hasn't been implemented. "
                "Please set num_frontend_replicas=1 or use Kubernetes."
            )
        if not self.runs_processes:
            self.docker_client.close()
        super().start_clipper(
            query_frontend_image,
            mgmt_frontend_image,
            frontend_exporter_image,
            cache_size,
            qf_http_thread_pool_size,
            qf_http_timeout_request,
            qf_http_timeout_content,
            num_frontend_replicas,
        )

    def build_model(self, build: ModelBuild) -> None:
        """See DaemonContainerManager. An image that brings its own program is built by Docker.

        Raises:
            ClipperException: no engine answers, or it cannot be built.
        """
        if model_images.is_known(build):
            super().build_model(build)
            return
        self.docker_client.close()
        image_builds.build(build, self.logger)
        if build.registry is not None:
            image_builds.push(build, self.logger)

    def _what(self, admin: AdminClient, image: str, input_type: str) -> dict[str, Any]:
        if self.runs_processes:
            return super()._what(admin, image, input_type)
        request = {"runtime": DOCKER, **self._limits()}
        if not self.images.has(image):
            return request | {"image": image}
        base = self.images.base(image)
        if model_images.is_foreign(base):
            request["image"] = base
        return request | {"bundle": self._sent(admin, image, input_type)}

    def _limits(self) -> dict[str, Any]:
        """Return what each container may use.

        Raises:
            ServdError: a limit is none.
        """
        given = self.extra_container_kwargs
        unused = sorted(given.keys() - _TAKEN)
        if unused:
            self.logger.warning("extra_container_kwargs without effect: %s", ", ".join(unused))
        limits: dict[str, Any] = {}
        try:
            if "mem_limit" in given:
                limits["memory_bytes"] = parse_size(given["mem_limit"])
        except ValueError as error:
            raise ServdError(f"mem_limit: {error}") from error
        if "nano_cpus" in given:
            limits["cpus"] = given["nano_cpus"] / _NANO
        return limits

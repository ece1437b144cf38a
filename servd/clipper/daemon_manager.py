"""What the managers of this package have in common: a cluster is a servd daemon of this machine.

LocalContainerManager, DockerContainerManager and KubernetesContainerManager inherit it.
"""

import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from servd.client.admin import AdminClient
from servd.client.deployment import follow, upload
from servd.client.report import Report
from servd.client.values import Replica
from servd.clipper import model_images
from servd.clipper.clusters import Cluster, Ports, address_of, said
from servd.clipper.container_manager import ClusterAdapter, ContainerManager
from servd.clipper.exceptions import ClipperException
from servd.clipper.image_builds import ModelBuild
from servd.clipper.model_images import ModelImages
from servd.config import is_loopback
from servd.datatypes import InputType
from servd.errors import NotFoundError, ServdError

_LOG_LINES: Final = 10_000
_USUAL_CACHE: Final = 33554432


class DaemonContainerManager(ContainerManager):
    """Starts, finds and ends a daemon, and deploys models to it.

    `registers_models`: what it deploys it registers itself, when the first replica can answer.
    """

    registers_models = True
    logger_name = "servd.clipper.container_manager"

    def __init__(
        self, cluster_name: str, host: str = "localhost", ports: Ports | None = None
    ) -> None:
        self.cluster_name = cluster_name
        self.cluster_identifier = cluster_name
        self.public_hostname = host
        wanted = ports or Ports(1337, 1338)
        self.clipper_query_port = wanted.query
        self.clipper_management_port = wanted.admin
        self.cluster = Cluster(cluster_name)
        self.logger = ClusterAdapter(
            logging.getLogger(self.logger_name), {"cluster_name": self.cluster_identifier}
        )

    @property
    def token(self) -> str | None:
        """What the daemon's APIs are asked with, if it wants any."""
        return self.cluster.config.token

    @property
    def images(self) -> ModelImages:
        """The images that were built and not deployed yet."""
        return ModelImages(self.cluster.config.data_dir / "clipper-images")

    # --- the cluster ---

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
        """Start the daemon. It has no images, and its front end needs no threads.

        Raises:
            ClipperException: it runs already, or cannot be started.
        """
        del query_frontend_image, mgmt_frontend_image, frontend_exporter_image
        del qf_http_thread_pool_size, qf_http_timeout_request, qf_http_timeout_content
        settings: dict[str, object] = {}
        if cache_size != _USUAL_CACHE:
            settings["cache_size"] = cache_size
        if num_frontend_replicas != 1:
            settings["frontends"] = num_frontend_replicas
        self._check_host()
        self.logger.info("Starting servd")
        wanted = Ports(self.clipper_query_port, self.clipper_management_port)
        self.cluster.start(wanted, settings)
        self.connect()
        self.logger.info(
            "servd answers queries at %s, its admin API at %s; its data is in %s",
            self.get_query_addr(),
            self.get_admin_addr(),
            self.cluster.config.data_dir,
        )

    def _check_host(self) -> None:
        """Refuse a host at which the daemon would not answer: nobody would come to know why.

        Raises:
            ClipperException: it listens on loopback only, and the host is none.
        """
        host, config = self.public_hostname, self.cluster.config
        if is_loopback(config.bind) and not is_loopback(_resolved(host)):
            raise ClipperException(
                f"servd listens on {config.bind}, where nothing answers as {host}. What to do: "
                f"SERVD_BIND={host} has it listen there, with SERVD_TOKEN, which its APIs are "
                "then asked with; or leave docker_ip_address out"
            )

    def connect(self) -> None:
        """Find the daemon.

        Raises:
            ClipperException: none runs.
        """
        status = self.cluster.status()
        if status is None:
            raise ClipperException(
                f"Could not connect to Clipper cluster {self.cluster_name}: no servd daemon runs "
                f"on {self.cluster.config.data_dir}. What to do: "
                "ClipperConnection.start_clipper() or servd start starts one"
            )
        host = self.public_hostname
        self.clipper_query_port = int(address_of(status["query_url"], host).rpartition(":")[2])
        self.clipper_management_port = int(address_of(status["admin_url"], host).rpartition(":")[2])

    def stop_all(self, graceful: bool = True) -> None:
        """End the daemon and all replicas; without `graceful` queries in flight are not waited for.

        Nothing happens where none runs.
        """
        if not self.cluster.stop(is_graceful=graceful):
            self.logger.info("No servd daemon runs on %s", self.cluster.config.data_dir)

    def get_admin_addr(self) -> str:
        """See ContainerManager."""
        return f"{self.public_hostname}:{self.clipper_management_port}"

    def get_query_addr(self) -> str:
        """See ContainerManager."""
        return f"{self.public_hostname}:{self.clipper_query_port}"

    def get_metric_addr(self) -> str:
        """Return where GET /metrics answers in Prometheus' text format: the admin API."""
        return self.get_admin_addr()

    def get_logs(self, logging_dir: str) -> list[str]:
        """See ContainerManager. The daemon has a file, and each replica."""
        folder = Path(logging_dir).expanduser().absolute()
        if not folder.exists():
            folder.mkdir(parents=True)
            self.logger.info("Created logging directory: %s", folder)
        files = []
        try:
            for image, name, which in self._logs():
                file = folder / f"image_{image}:container_{name}.log"
                file.write_text("".join(f"{line}\n" for line in which()), "utf-8")
                files.append(str(file))
        except ServdError as error:
            raise said(error) from error
        return files

    def _logs(self) -> Iterator[tuple[str, str, Callable[[], list[str]]]]:
        """Yield each log: its image and container, as they are named in files, and its lines."""
        client = self.cluster.client
        yield "servd", "daemon", lambda: list(client.logs(lines=_LOG_LINES))
        for row in client.replicas():
            yield (
                f"{row.model}-{row.version}",
                f"{row.model}-{row.version}-{row.replica}",
                partial(self._replica_log, row),
            )

    def _replica_log(self, row: Replica) -> list[str]:
        """Return what a replica has logged: nothing, maybe."""
        try:
            return list(
                self.cluster.client.logs(
                    row.model, version=row.version, replica=row.replica, lines=_LOG_LINES
                )
            )
        except NotFoundError:
            return []

    # --- models ---

    def build_model(self, build: ModelBuild) -> None:
        """Make what is deployed under an image's tag. Called by ClipperConnection.build_model.

        Raises:
            ClipperException: nothing here can run it.
        """
        if not model_images.is_known(build):
            raise ClipperException(
                f"{build.data_path} has no func.pkl, and what is in {build.base_image} runs in "
                "containers only. What to do: deploy a function "
                "(servd.clipper.deployers.python), or use DockerContainerManager"
            )
        self.images.build(build)

    def deploy_model(
        self,
        name: str,
        version: str,
        input_type: str,
        image: str,
        num_replicas: int = 1,
        labels: Sequence[str] = (),
        batch_size: int = -1,
    ) -> None:
        """Start replicas of an image, and register them when they can answer.

        Raises:
            ClipperException: it cannot be loaded; the message has the model's own traceback.
        """
        self.logger.info("Found 0 replicas for %s:%s. Adding %d", name, version, num_replicas)
        config = self.cluster.config
        # Loading and testing are the daemon's to limit; this is what a broken connection may cost.
        limit_s = config.load_timeout_s + config.test_timeout_s + 30.0
        try:
            kind = InputType.parse(input_type).value
            request = {
                "model": name,
                "version": version,
                "app": None,
                "input_type": kind,
                "labels": list(labels),
                "max_batch": batch_size,
                "replicas": max(num_replicas, 1),
                "container_name": image,
            }
            admin = self.cluster.admin(limit_s)
            request |= self._what(admin, image, kind)
            follow(admin, request, Report())
            if num_replicas < 1:
                self.cluster.client.scale(name, num_replicas, version)
        except ServdError as error:
            raise said(error) from error

    def _what(self, admin: AdminClient, image: str, input_type: str) -> dict[str, Any]:
        """Return the part of a deployment that says what runs, and where; its files are sent."""
        return {"bundle": self._sent(admin, image, input_type)}

    def _sent(self, admin: AdminClient, image: str, input_type: str) -> str:
        digest = self.images.digest(image, input_type)
        if digest is not None and admin.has(f"/bundles/{digest}"):
            return digest
        digest = upload(admin, self.images.packed(image, input_type))
        self.images.on_deployed(image, input_type, digest)
        return digest

    def get_num_replicas(self, name: str, version: str) -> int:
        """See ContainerManager; 0 of a version that there is not."""
        try:
            found = self.cluster.client.versions(name)
        except NotFoundError:
            return 0
        except ServdError as error:
            raise said(error) from error
        return sum(each.replicas for each in found if each.version == version)

    def set_num_replicas(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int
    ) -> None:
        """See ContainerManager. A version that is not there yet is deployed."""
        current = self.get_num_replicas(name, version)
        if current < num_replicas:
            self._tell_change(name, version, current, f"Adding {num_replicas - current}")
        elif current > num_replicas:
            self._tell_change(name, version, current, f"Removing {current - num_replicas}")
        del input_type, image
        try:
            self.cluster.client.scale(name, num_replicas, version)
        except ServdError as error:
            raise said(error) from error

    def _tell_change(self, name: str, version: str, current: int, change: str) -> None:
        self.logger.info("Found %d replicas for %s:%s. %s", current, name, version, change)

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """See ContainerManager; what is not there, or has nothing to run, is passed over."""
        try:
            rows = {(row.model, row.version) for row in self.cluster.client.replicas()}
            for name, version in sorted(rows):
                if version in models.get(name, ()):
                    self.cluster.client.scale(name, 0, version)
        except ServdError as error:
            raise said(error) from error

    def stop_all_model_containers(self) -> None:
        """See ContainerManager."""
        try:
            rows = {(row.model, row.version) for row in self.cluster.client.replicas()}
        except ServdError as error:
            raise said(error) from error
        versions: dict[str, list[str]] = {}
        for name, version in sorted(rows):
            versions.setdefault(name, []).append(version)
        self.stop_models(versions)


def _resolved(host: str) -> str:
    """Return the address that a name stands for; the name where it stands for none."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host

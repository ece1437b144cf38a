"""The manager that serves models on a Kubernetes cluster."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from servd.clipper.container_manager import ClusterAdapter
from servd.clipper.daemon_manager import DaemonContainerManager
from servd.clipper.exceptions import ClipperException
from servd.clipper.image_builds import ModelBuild
from servd.clipper.kubernetes.cluster_export import ClusterExport
from servd.clipper.kubernetes.kubectl import ROLLOUT_S, Kubectl

CLUSTER_IP: Final = "ClusterIP"
NODE_PORT: Final = "NodePort"
LOAD_BALANCER: Final = "LoadBalancer"
EXTERNAL_NAME: Final = "ExternalName"
OFFICIAL_K8S_SERVICE_TYPE: Final = (CLUSTER_IP, NODE_PORT, LOAD_BALANCER, EXTERNAL_NAME)
DEFAULT_CLIPPER_SERVICE_TYPES: Final = dict.fromkeys(
    ("redis", "management", "query", "query-rpc", "metric"), NODE_PORT
)

_SERVICE: Final = "query-frontend"
_POLL_S: Final = 1.0
_PODS: Final = "app.kubernetes.io/managed-by=servd"
_NO_ADDRESS: Final = (
    "Error connecting to Kubernetes cluster. No external node addresses found. You may pass in "
    "KubernetesContainerManager(useInternalIP=True) to connect to local Kubernetes cluster"
)


def _service_types(given: Any) -> dict[str, str]:
    """Return the types of the Services.

    Raises:
        ClipperException: they are not a dict of the known keys and types.
    """
    if given is None:
        return dict(DEFAULT_CLIPPER_SERVICE_TYPES)
    if not isinstance(given, dict):
        raise ClipperException(f"service_types must be 'dict' type: {given}")
    if given.keys() != DEFAULT_CLIPPER_SERVICE_TYPES.keys():
        raise ClipperException(f"service_types has unknown keys: {given.keys()}")
    if any(each not in OFFICIAL_K8S_SERVICE_TYPE for each in given.values()):
        raise ClipperException(f"service_types has unknown values: {given.values()}")
    if EXTERNAL_NAME in given.values():
        raise ClipperException(f"Clipper does not support '{EXTERNAL_NAME}' service")
    return dict(given)


class KubernetesContainerManager(DaemonContainerManager):
    """A cluster of pods: front ends and replicas on Kubernetes, by the registry of a servd daemon
    of this machine, where models are tried first.

    Each change of the registry is exported, its images are built (and pushed, where there is a
    registry of images), applied with kubectl, and waited for. Until a model is there, queries are
    answered by the daemon.

    Args:
        kubernetes_proxy_addr: where `kubectl proxy` answers; addresses lead through it.
        useInternalIP: take nodes' internal addresses, where they have no others.
        service_types: of these `query` counts.
        image_registry: where nodes pull images from; also the `registry` of a deployer.
        image_pull_secret: the Secret with that registry's password.

    Raises:
        ClipperException: `service_types` is wrong.
    """

    logger_name = "servd.clipper.kubernetes.kubernetes_container_manager"

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        kubernetes_proxy_addr: str | None = None,
        redis_ip: str | None = None,
        redis_port: int = 6379,
        useInternalIP: bool = False,  # noqa: N803 - as it is
        namespace: str = "default",
        service_types: Mapping[str, str] | None = None,
        create_namespace_if_not_exists: bool = False,
        *,
        image_registry: str | None = None,
        image_pull_secret: str | None = None,
    ) -> None:
        super().__init__(cluster_name)
        self.service_types = _service_types(service_types)
        self.use_k8s_proxy = kubernetes_proxy_addr is not None
        self.kubernetes_proxy_addr = kubernetes_proxy_addr
        self.redis_ip, self.redis_port = redis_ip, redis_port
        self.useInternalIP = useInternalIP
        self.k8s_namespace = namespace
        if namespace == "default":
            self.cluster_identifier = f"{namespace}-{cluster_name}"
        self.logger = ClusterAdapter(
            logging.getLogger(self.logger_name), {"cluster_name": self.cluster_identifier}
        )
        self._may_create = create_namespace_if_not_exists
        self._image_registry = image_registry
        self._pull_secret = image_pull_secret
        self._frontends = 1
        self._query_addr: str | None = None
        self._kept_export: ClusterExport | None = None

    @property
    def kubectl(self) -> Kubectl:
        """kubectl, for the namespace."""
        return Kubectl(self.k8s_namespace)

    @property
    def _export(self) -> ClusterExport:
        if self._kept_export is None:
            settings = ["--service-type", self.service_types["query"]]
            settings += ["--frontends", str(self._frontends)]
            if self._pull_secret is not None:
                settings += ["--image-pull-secret", self._pull_secret]
            self._kept_export = ClusterExport(
                self.kubectl, self.cluster.config.data_dir, tuple(settings), self._image_registry
            )
        return self._kept_export

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
        """Start the daemon; the cluster's front ends come with the first model.

        Raises:
            ClipperException: kubectl reaches no cluster, there is no such namespace, or the daemon
                cannot be started.
        """
        self._check_namespace()
        self._frontends = num_frontend_replicas
        super().start_clipper(
            query_frontend_image,
            mgmt_frontend_image,
            frontend_exporter_image,
            cache_size,
            qf_http_thread_pool_size,
            qf_http_timeout_request,
            qf_http_timeout_content,
        )

    def _check_namespace(self) -> None:
        name = self.k8s_namespace
        if self.kubectl.get("namespace", name) is not None:
            return
        if not self._may_create:
            message = (
                "Error connecting to Kubernetes cluster. Namespace does not exist. You can pass in "
                "KubernetesContainerManager(create_namespace_if_not_exists=True) to crate this "
                "namespcae"
            )
            self.logger.error(message)
            raise ClipperException(message)
        self.kubectl.run("create", "namespace", name)

    def connect(self) -> None:
        """Find the daemon, and the front ends if there are any yet."""
        super().connect()
        self._find_service()

    def build_model(self, build: ModelBuild) -> None:
        """See DaemonContainerManager. The registry of a tag is where the cluster's images go."""
        if build.registry is not None:
            self._image_registry = build.registry
            self._export.registry = build.registry
        super().build_model(build)

    def on_change(self) -> None:
        """Bring the registry, as it is now, onto the cluster. Called by ClipperConnection.

        Raises:
            ClipperException: that fails; the daemon has the change all the same.
        """
        for text in self._export.renew():
            self.logger.warning(text)
        self._find_service()

    def stop_all(self, graceful: bool = True) -> None:
        """Take everything from the cluster, and end the daemon."""
        self.logger.info("Stopping all running Clipper resources")
        if self._export.folder.is_dir():
            self._export.remove()
        self._query_addr = None
        super().stop_all(graceful)

    def get_query_addr(self) -> str:
        """Return where the cluster's Service answers; before there is one, where the daemon does.

        With `kubectl proxy` it is an address with a path.
        """
        return self._query_addr or super().get_query_addr()

    def get_logs(self, logging_dir: str) -> list[str]:
        """See ContainerManager. Each container of a pod has a file, and the daemon one."""
        folder = Path(logging_dir).expanduser().absolute()
        files = super().get_logs(logging_dir)
        pods = self.kubectl.get("pods", "--selector", _PODS) or {"items": []}
        for pod in pods["items"]:
            name = pod["metadata"]["name"]
            for number, container in enumerate(pod["spec"]["containers"]):
                file = folder / f"{name}_{number}.log"
                self.logger.info("log file name: %s", file.name)
                file.write_text(
                    self.kubectl.run("logs", name, "--container", container["name"]), "utf-8"
                )
                files.append(str(file))
        return files

    # --- addresses ---

    def _find_service(self) -> None:
        """Learn where the cluster answers queries.

        Raises:
            ClipperException: it has no address that can be reached.
        """
        service = self.kubectl.get("service", _SERVICE)
        if service is None:
            self._query_addr = None
            return
        port = service["spec"]["ports"][0]
        kind = service["spec"].get("type", CLUSTER_IP)
        if kind == LOAD_BALANCER:
            found = f"{self._balancer()}:{port['port']}"
        elif self.use_k8s_proxy:
            path = f"api/v1/namespaces/{self.k8s_namespace}/services/{_SERVICE}:{port['port']}"
            found = f"{self.kubernetes_proxy_addr}/{path}/proxy"
        elif kind == NODE_PORT:
            found = f"{self._node()}:{port['nodePort']}"
        else:
            found = f"{service['spec']['clusterIP']}:{port['port']}"
        if found != self._query_addr:
            self.logger.info("Setting Clipper query port to %s", found)
        self._query_addr = found

    def _balancer(self) -> str:
        def given() -> str | None:
            status = (self.kubectl.get("service", _SERVICE) or {}).get("status", {})
            places = status.get("loadBalancer", {}).get("ingress") or [{}]
            found: str | None = places[0].get("ip") or places[0].get("hostname")
            return found

        return _waited(given, f"the Service {_SERVICE} has got no address of a load balancer")

    def _node(self) -> str:
        nodes = (self.kubectl.get("nodes") or {"items": []})["items"]
        addresses = [each for node in nodes for each in node["status"].get("addresses", ())]
        wanted = ["ExternalDNS", "ExternalIP"] + (["InternalIP"] if self.useInternalIP else [])
        for kind in wanted:
            for address in addresses:
                if address["type"] == kind:
                    return str(address["address"])
        self.logger.error(_NO_ADDRESS)
        raise ClipperException(_NO_ADDRESS)


def _waited(look: Callable[[], str | None], missing: str) -> str:
    """Return what is found, looked for again until it is there.

    Raises:
        ClipperException: it is not, in the time that a rollout has.
    """
    until_s = time.monotonic() + ROLLOUT_S
    while (found := look()) is None:
        if time.monotonic() > until_s:
            raise ClipperException(f"{missing} within {ROLLOUT_S} s")
        time.sleep(_POLL_S)
    return found

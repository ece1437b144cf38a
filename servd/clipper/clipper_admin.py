"""`ClipperConnection`: a cluster, as clipper_admin 0.4.1 has it. Called by users' scripts.

A container manager starts and finds the cluster; everything else is asked of its REST APIs. The
managers of this package also make the models themselves (`registers_models`, `build_model`);
for others an image is built by Docker, as Clipper does.
"""

import pprint
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from servd.clipper import image_builds, rest, trial
from servd.clipper.container_manager import CONTAINERLESS_MODEL_IMAGE
from servd.clipper.decorators import retry
from servd.clipper.exceptions import ClipperException, UnconnectedException
from servd.clipper.registry_calls import RegistryCalls
from servd.clipper.version import __registry__, __version__

__all__ = ["CLIPPER_TEMP_DIR", "ClipperConnection", "ClipperException", "UnconnectedException"]

DEFAULT_PREDICTION_CACHE_SIZE_BYTES: Final = 33554432
CLIPPER_TEMP_DIR: Final = "/tmp/clipper"  # noqa: S108 - the name that scripts make a folder of

deploy_regex_str: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z"
deployment_regex: Final = re.compile(deploy_regex_str)

_HEALTH_TRIES: Final = 300


def _validate_versioned_model_name(name: str, version: str) -> None:
    """Refuse names and versions that no container could be called by."""
    for kind, value in (("name", name), ("version", version)):
        if deployment_regex.match(value) is None:
            raise ClipperException(
                f"Invalid value: {value}: a model {kind} must be a valid DNS-1123 "
                " subdomain. It must consist of lower case "
                "alphanumeric characters, '-' or '.', and must start and end with "
                "an alphanumeric character (e.g. 'example.com', regex used for "
                f"validation is '{deploy_regex_str}'"
            )


class ClipperConnection(RegistryCalls):
    """A connection with the cluster that a container manager starts (`start_clipper`) or finds
    (`connect`).
    """

    # --- the cluster ---

    def start_clipper(
        self,
        query_frontend_image: str = f"{__registry__}/query_frontend:{__version__}",
        mgmt_frontend_image: str = f"{__registry__}/management_frontend:{__version__}",
        frontend_exporter_image: str = f"{__registry__}/frontend-exporter:{__version__}",
        cache_size: int = DEFAULT_PREDICTION_CACHE_SIZE_BYTES,
        qf_http_thread_pool_size: int = 1,
        qf_http_timeout_request: int = 5,
        qf_http_timeout_content: int = 300,
        num_frontend_replicas: int = 1,
    ) -> None:
        """Start a cluster and connect with it. What speaks of images and of threads of a front end
        is the manager's to use; those of this package have no need of it.

        Raises:
            ClipperException: it runs already, or cannot be started.
        """
        try:
            self.cm.start_clipper(
                query_frontend_image,
                mgmt_frontend_image,
                frontend_exporter_image,
                cache_size,
                qf_http_thread_pool_size,
                qf_http_timeout_request,
                qf_http_timeout_content,
                num_frontend_replicas,
            )
        except ClipperException as error:
            self.logger.warning("Error starting Clipper: %s", error.msg)
            raise
        retry(OSError, tries=_HEALTH_TRIES, delay=1, backoff=1, logger=self.logger)(
            self._check_health
        )()
        self.logger.info("Clipper is running")
        self.connected = True

    def _check_health(self) -> None:
        """Raise OSError unless both APIs answer."""
        token = getattr(self.cm, "token", None)
        for name, address, path in (
            ("query frontend", self.cm.get_query_addr(), "/metrics"),
            ("management frontend", self.cm.get_admin_addr(), "/admin/ping"),
        ):
            try:
                reply = rest.send("GET", address, path, token=token, timeout_s=5)
            except OSError as error:
                raise OSError(f"Clipper still initializing: \n {error}") from error
            if reply.status != 200:
                url = f"http://{address}{path}"
                raise OSError(
                    f"Clipper still initializing: \n {name} end point {url} health check failed"
                )

    def connect(self) -> None:
        """Connect with a cluster that runs.

        Raises:
            ClipperException: there is none.
        """
        self.cm.connect()
        self.connected = True
        self.logger.info(
            "Successfully connected to Clipper cluster at %s", self.cm.get_query_addr()
        )

    def stop_all(self, graceful: bool = True) -> None:
        """End the cluster and its models; without `graceful` at once. Twice is as good as once."""
        self.cm.stop_all(graceful=graceful)
        self.logger.info("Stopped all Clipper cluster and all model containers")

    def get_query_addr(self) -> str:
        """Return where queries are answered, as "host:port"."""
        self._check_connected()
        address: str = self.cm.get_query_addr()
        return address

    def get_metric_addr(self) -> str:
        """Return where the metrics are, as "host:port"."""
        self._check_connected()
        address: str = self.cm.get_metric_addr()
        return address

    def get_clipper_logs(self, logging_dir: str = "clipper_logs/") -> list[str]:
        """Write all logs into a folder, which is made; return the paths of the files."""
        self._check_connected()
        files: list[str] = self.cm.get_logs(logging_dir)
        return files

    def inspect_instance(self) -> dict[str, Any]:
        """Return the counters and latencies of the query frontend."""
        self._check_connected()
        token = getattr(self.cm, "token", None)
        reply = rest.send("GET", self.cm.get_query_addr(), "/metrics", token=token)
        self._check(reply)
        metrics: dict[str, Any] = reply.json()
        return metrics

    # --- deploying ---

    def build_and_deploy_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        model_data_path: str,
        base_image: str,
        labels: Sequence[str] | None = None,
        container_registry: str | None = None,
        num_replicas: int = 1,
        batch_size: int = -1,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> None:
        """Build the image of a model (`build_model`) and deploy it (`deploy_model`)."""
        self._check_connected()
        image = self.build_model(
            name, version, model_data_path, base_image, container_registry, pkgs_to_install
        )
        self.deploy_model(name, version, input_type, image, labels, num_replicas, batch_size)

    def build_model(
        self,
        name: str,
        version: str | int,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Make an image of a folder and a base image; return its tag. Works unconnected."""
        version = str(version)
        _validate_versioned_model_name(name, version)
        tag = f"{self.cm.cluster_identifier}-{name}:{version}"
        if container_registry is not None:
            tag = f"{container_registry}/{tag}"
        self.logger.info("Building model Docker image with model data from %s", model_data_path)
        build = image_builds.ModelBuild(
            tag=tag,
            data_path=str(model_data_path),
            base_image=base_image,
            packages=tuple(pkgs_to_install or ()),
            registry=container_registry,
        )
        own = getattr(self.cm, "build_model", None)
        if own is not None:
            own(build)
        else:
            image_builds.build(build, self.logger)
        self.logger.info("Pushing model Docker image to %s", tag)
        if own is None:
            image_builds.push(build, self.logger)
        return tag

    def deploy_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str,
        labels: Sequence[str] | None = None,
        num_replicas: int = 1,
        batch_size: int = -1,
    ) -> None:
        """Start replicas of an image and register them as a version of a model: the current one.

        Raises:
            ClipperException: it could not be loaded, or was refused.
        """
        self._check_connected()
        version = str(version)
        _validate_versioned_model_name(name, version)
        given = {"name": name, "version": version, "input_type": input_type, "image": image}
        if getattr(self.cm, "registers_models", False):
            self._deploy_registered(given, labels, num_replicas, batch_size)
        else:
            self.cm.deploy_model(**given, num_replicas=num_replicas)
            self.register_model(name, version, input_type, image, labels, batch_size)
        self.logger.info("Done deploying model %s:%s.", name, version)

    def _deploy_registered(
        self,
        given: dict[str, str],
        labels: Sequence[str] | None,
        num_replicas: int,
        batch_size: int,
    ) -> None:
        """Deploy by a manager that registers what it deploys, at once when it can answer."""
        name, version = given["name"], given["version"]
        if f"{name}:{version}" in self.get_all_models():
            # Refused, in the words of whoever keeps the registry.
            self.register_model(
                name, version, given["input_type"], given["image"], labels, batch_size
            )
        listed = [] if labels is None else list(labels)
        self.cm.deploy_model(
            **given, num_replicas=num_replicas, labels=listed, batch_size=batch_size
        )
        self._tell_manager()
        self.logger.info("Successfully registered model %s:%s", name, version)

    # --- replicas and versions ---

    def get_num_replicas(self, name: str, version: str | int | None = None) -> int:
        """Return how many replicas a version has; None: the current one."""
        self._check_connected()
        version = self.get_current_model_version(name) if version is None else str(version)
        count: int = self.cm.get_num_replicas(name, version)
        return count

    def set_num_replicas(
        self, name: str, num_replicas: int, version: str | int | None = None
    ) -> None:
        """Add or end replicas of a version; None: the current one.

        Raises:
            ClipperException: it is not registered, or has nothing to run.
        """
        self._check_connected()
        version = self.get_current_model_version(name) if version is None else str(version)
        info = self.get_model_info(name, version)
        if info is None:
            raise self._refused(f"Cannot add container for non-registered model {name}:{version}")
        image = info["container_name"]
        if image == CONTAINERLESS_MODEL_IMAGE:
            raise self._refused(
                f"Cannot resize the replica set for containerless model {name}:{version}"
            )
        self.cm.set_num_replicas(name, version, info["input_type"], image, num_replicas)
        self._tell_manager()

    def _refused(self, message: str) -> ClipperException:
        self.logger.error(message)
        return ClipperException(message)

    def set_model_version(
        self, name: str, version: str | int, num_replicas: int | None = None
    ) -> None:
        """Have another version of a model answer queries; then set its number of replicas."""
        version = str(version)
        self._call("set_model_version", {"model_name": name, "model_version": version})
        if num_replicas is not None:
            self.set_num_replicas(name, num_replicas, version)

    # --- ending models ---

    def stop_models(self, model_names: Sequence[str]) -> None:
        """End all versions of these models, and forget them."""
        self._stop(self._versions(lambda model: model["model_name"] in model_names))

    def stop_versioned_models(self, model_versions_dict: Mapping[str, Sequence[str]]) -> None:
        """End these versions, by the names of their models, and forget them."""
        self._check_connected()
        self._stop(model_versions_dict)

    def stop_inactive_model_versions(self, model_names: Sequence[str]) -> None:
        """End the versions of these models that are not the current ones, and forget them."""

        def is_inactive(model: dict[str, Any]) -> bool:
            return model["model_name"] in model_names and not model["is_current_version"]

        self._stop(self._versions(is_inactive))

    def stop_all_model_containers(self) -> None:
        """End all models, and forget them."""
        versions = self._versions(lambda _: True)
        self.cm.stop_all_model_containers()
        self._unregister_versioned_models(versions)
        self.logger.info("Stopped all Clipper model containers:\n%s", _shown(versions))

    def _versions(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for model in filter(is_wanted, self.get_all_models(verbose=True)):
            found.setdefault(model["model_name"], []).append(model["model_version"])
        return found

    def _stop(self, versions: Mapping[str, Sequence[str]]) -> None:
        self.cm.stop_models(versions)
        self._unregister_versioned_models(versions)
        self.logger.info(
            "Stopped all containers for these models and versions:\n%s", _shown(versions)
        )

    # --- trying ---

    def test_predict_function(
        self, query: Mapping[str, Any], func: Callable[[Any], Any], input_type: str
    ) -> Any:
        """Return what a function answers a query, after a pickle's round trip; nothing is deployed.

        Of an input that is not of the type a text that says so.
        """
        if not self.connected:
            self.connect()
        return trial.predicted(query, func, input_type, self.logger)


def _shown(versions: Mapping[str, Sequence[str]]) -> str:
    return pprint.PrettyPrinter(indent=4).pformat(versions)

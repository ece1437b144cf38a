"""A container engine through the docker SDK: blocking calls, in servd's errors.

Used by launchers/docker.py, in threads. The SDK is an extra, so this module is imported when the
first container is wanted.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import DeviceRequest
from docker.utils import parse_repository_tag

from servd.errors import EngineError, ImageError
from servd.replicas.launchers.base import LaunchSpec
from servd.replicas.launchers.container_options import (
    INSTANCE_LABEL,
    NO_PROTOCOL_HINT,
    Place,
    creation,
    gpu_request,
    gpus_of,
    limits,
)
from servd.system import docker_client

_NO_PROGRAM: Final = ("executable file not found", "exec:", "No command specified")
_TIMEOUT_S: Final = 60
_ICC: Final = {"com.docker.network.bridge.enable_icc": "false"}
"""Replicas do not reach each other: only the daemon talks to them."""


@dataclass(frozen=True, slots=True)
class Started:
    """A container that runs: where it is reached, and its main process on this machine.

    `pid` is None where the engine runs on another machine or in a virtual one. `output` yields
    what it prints, and ends when it does.
    """

    container_id: str
    ip_address: str
    pid: int | None
    output: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended."""

    status: int
    is_oom: bool


class Engine:
    """The engine that DOCKER_HOST names, or this machine's. `connect` makes one.

    `closing` ends a pull that nobody waits for any more.
    """

    def __init__(self, client: docker.DockerClient, closing: threading.Event) -> None:
        self.client = client
        self._api = client.api
        self._closing = closing

    def close(self) -> None:
        """Let go of the connections."""
        self.client.close()

    def make_network(self, place: Place) -> None:
        """Make the network of a data directory unless it is there."""
        with _errors():
            if not self._api.networks(names=[place.network]):
                self._api.create_network(
                    place.network, driver="bridge", labels=place.labels, options=_ICC
                )

    def clear(self, place: Place, *, is_final: bool) -> int:
        """Remove all containers of a data directory; return how many it were.

        With `is_final` its network goes too.
        """
        label = {"label": f"{INSTANCE_LABEL}={place.instance}"}
        with _errors():
            found = self._api.containers(all=True, filters=label)
            for container in found:
                with suppress(NotFound):
                    self._api.remove_container(container["Id"], force=True, v=True)
            if is_final:
                for network in self._api.networks(filters=label):
                    with suppress(NotFound):
                        self._api.remove_network(network["Id"])
        return len(found)

    def inspect_image(self, reference: str) -> dict[str, Any] | None:
        """Return the description of an image; None where it is not here."""
        with _errors():
            try:
                found: dict[str, Any] = self._api.inspect_image(reference)
            except ImageNotFound:
                return None
            return found

    def find_image(
        self, reference: str, on_pull: Callable[[], object] = lambda: None
    ) -> dict[str, Any]:
        """Return the description of an image, which is pulled where it is not here.

        `on_pull` is called before that.

        Raises:
            ImageError: it can be had nowhere; the message has the registry's words.
        """
        found = self.inspect_image(reference)
        if found is None:
            on_pull()
            with _errors():
                self._pull(reference)
                found = self._api.inspect_image(reference)
        return found

    def start(self, place: Place, spec: LaunchSpec, image: str, nonce: str) -> Started:
        """Make and start the container of a replica.

        Raises:
            ImageError: there is no such image, or its program cannot be started.
            EngineError: the engine refuses it or is gone.
        """
        description = self.find_image(image)
        self._check_open()
        with _errors():
            try:
                container_id = self._create(place, spec, description, nonce)
            except APIError as error:
                raise _start_failure(spec, error) from error
            try:
                # Before it starts, so that nothing of what it prints is missed.
                output = self._api.attach(container_id, stream=True)
                self._api.start(container_id)
                state = self._api.inspect_container(container_id)
            except BaseException as error:
                self.remove(container_id)
                if isinstance(error, APIError):
                    raise _start_failure(spec, error) from error
                raise
        network = state["NetworkSettings"]["Networks"].get(place.network) or {}
        pid = state["State"]["Pid"]
        return Started(
            container_id=container_id,
            ip_address=network.get("IPAddress") or "",
            pid=pid if pid and _is_of(pid, container_id) else None,
            output=output,
        )

    def wait(self, container_id: str) -> Ended:
        """Return how a container has ended, once it has.

        Raises:
            EngineError: the engine does not say it now.
        """
        with _errors():
            status = int(self._api.wait(container_id)["StatusCode"])
            try:
                state = self._api.inspect_container(container_id)["State"]
            except NotFound:  # somebody has removed it
                return Ended(status, is_oom=False)
            return Ended(status, is_oom=bool(state.get("OOMKilled")) and status != 0)

    def signal(self, container_id: str, number: int) -> None:
        """Send a signal to a container's main process; nothing happens if it has ended."""
        with _errors():
            try:
                self._api.kill(container_id, signal=number)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise

    def remove(self, container_id: str) -> None:
        """Remove a container, running or not; nothing happens if it is gone."""
        with _errors(), suppress(NotFound):
            self._api.remove_container(container_id, force=True, v=True)

    def memory_bytes(self, container_id: str) -> int | None:
        """Return what a container uses, less the files that are only cached."""
        with _errors():
            memory = self._api.stats(container_id, stream=False, one_shot=True)["memory_stats"]
        if "usage" not in memory:
            return None
        details = memory.get("stats") or {}
        cached = details.get("total_inactive_file") or details.get("inactive_file") or 0
        return int(memory["usage"]) - int(cached)

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise EngineError("the daemon is stopping")

    def _create(self, place: Place, spec: LaunchSpec, image: dict[str, Any], nonce: str) -> str:
        options = limits(place, spec)
        wanted = gpus_of(spec)
        if wanted is not None:
            options["device_requests"] = [DeviceRequest(**gpu_request(wanted))]
        made = self._api.create_container(
            **creation(place, spec, image, nonce),
            host_config=self._api.create_host_config(**options),
        )
        return str(made["Id"])

    def _pull(self, reference: str) -> None:
        repository, tag = parse_repository_tag(reference)
        error = ""
        try:
            for line in self._api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                error = str(line.get("error") or error)
                self._check_open()
        except APIError as refused:
            error = docker_client.words_of(refused)
        if error:
            raise ImageError(
                f"the image {reference} is not here and cannot be pulled: {error}",
                hint="is its name right, and does its registry let this machine in (docker login)?",
            )


def connect(closing: threading.Event) -> Engine:
    """Return the engine.

    Raises:
        EngineError: none answers; says how to get one.
    """
    return Engine(docker_client.connect(_TIMEOUT_S), closing)


def _refusal(words: str) -> EngineError:
    return EngineError(f"the container engine refuses: {words}")


_errors: Final = functools.partial(docker_client.engine_errors, _refusal)


def _start_failure(spec: LaunchSpec, error: APIError) -> ImageError | EngineError:
    words = docker_client.words_of(error)
    if any(sign in words for sign in _NO_PROGRAM):
        needed = "with a TARGET, the image needs python3, pyzmq and msgpack"
        return ImageError(
            f"the image {spec.version.image or 'of servd'} has no program that starts: {words}",
            hint=NO_PROTOCOL_HINT if spec.version.bundle is None else needed,
        )
    if "could not select device driver" in words:
        return EngineError(
            f"the container engine has no GPUs to give: {words}",
            hint="install the vendor's container toolkit, or leave --gpus and --device out",
        )
    return _refusal(words)


def _is_of(pid: int, container_id: str) -> bool:
    """Tell whether a process id of the engine's machine is a process of this one."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:  # noqa: PTH123 - one line
            return container_id in file.read()
    except OSError:
        return False

"""What the container of a replica is like, as pure functions. Used by launchers/docker.py.

Three kinds of version run in containers: files for which servd builds an image; files that are
mounted, with servd's own runtime, into an image that was named; an image without files, which is
run as it is and speaks docs/protocol.md itself.
"""

import math
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_runtime.contract import (
    ALL_THREAD_VARIABLES,
    HIDDEN_VARIABLE,
    REPLICA_PORT,
    THREAD_VARIABLES,
)
from servd.datatypes import ModelVersion
from servd.registry.limits import (
    out_of_memory,
    parse_gpus,
    shown_cpus,
    shown_memory,
    threads_of,
)
from servd.replicas.launchers.base import LaunchSpec

ORPHAN_TIMEOUT_S: Final = 30
"""A replica that has heard no frontend for so long ends by itself."""

KEYS_DIR: Final = "/run/servd/curve"
BUNDLE_DIR: Final = "/opt/servd/bundle"
RUNTIME_DIR: Final = "/opt/servd/runtime"
USER: Final = "10001:10001"
"""Who runs where the image names nobody, or root."""

PIDS_LIMIT: Final = 512
LOCKS: Final = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777"},  # noqa: S108 - inside the container
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": PIDS_LIMIT,
}
"""What no container may, neither a replica's nor that in which a new image is tried."""

NO_PROTOCOL_HINT: Final = (
    "an image that is deployed without files must run a replica by itself, as docs/protocol.md "
    "says; servd build makes such images"
)
LABEL: Final = "io.servd"
INSTANCE_LABEL: Final = f"{LABEL}.instance"

_ROOTS: Final = ("", "0", "root")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all containers of a daemon share.

    `instance` names the data directory among all of an engine, `keys` and `runtime` are folders
    of this machine: a replica's keys, and the package model_runtime.
    """

    instance: str
    data_dir: Path
    keys: Path
    runtime: Path

    @property
    def network(self) -> str:
        """The name of the network."""
        return f"servd-{self.instance}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of all that belongs to the data directory."""
        return {INSTANCE_LABEL: self.instance, f"{LABEL}.data-dir": str(self.data_dir)}


def container_name(place: Place, spec: LaunchSpec, nonce: str) -> str:
    """Return the name of a container; people read it in `docker ps`."""
    version = spec.version
    text = f"servd-{version.model}-{version.version}-{spec.replica}"
    return f"{re.sub(r'[^a-zA-Z0-9_.-]+', '-', text)[:80]}-{place.instance}-{nonce}"


def creation(place: Place, spec: LaunchSpec, image: dict[str, Any], nonce: str) -> dict[str, Any]:
    """Return the configuration of a container, without its limits.

    `image` is the engine's description of what it runs.
    """
    version = spec.version
    configured = image.get("Config") or {}
    labels = {
        f"{LABEL}.model": version.model,
        f"{LABEL}.version": version.version,
        f"{LABEL}.replica": str(spec.replica),
    }
    return {
        "image": image["Id"],
        "name": container_name(place, spec, nonce),
        "labels": place.labels | labels,
        "environment": _environment(spec, configured.get("Env") or []),
        "user": user_for(configured.get("User") or ""),
        # Heartbeats tell more, and start no process every few seconds.
        "healthcheck": {"test": ["NONE"]},
        **_program(spec),
    }


def limits(place: Place, spec: LaunchSpec) -> dict[str, Any]:
    """Return the arguments of the SDK's `create_host_config`, but for GPUs."""
    version = spec.version
    options: dict[str, Any] = {
        "network_mode": place.network,
        **LOCKS,
        "binds": _binds(place, spec),
        # What it prints goes to servd's own log, which is bounded.
        "log_config": {"Type": "none", "Config": {}},
        "restart_policy": {"Name": "no"},
    }
    if version.memory_bytes is not None:
        # Equal: no swap, which would only make it slow before it ends.
        options["mem_limit"] = options["memswap_limit"] = version.memory_bytes
    if version.cpus is not None:
        options["nano_cpus"] = math.floor(version.cpus * 1e9)
    return options


def gpu_request(text: str) -> dict[str, Any]:
    """Return the arguments of the SDK's `DeviceRequest` for what `--gpus` was given."""
    gpus = parse_gpus(text)
    capabilities = {"capabilities": [["gpu"]]}
    if isinstance(gpus, int):
        return {"count": gpus, **capabilities}
    return {"device_ids": list(gpus), **capabilities}


def gpus_of(spec: LaunchSpec) -> str | None:
    """Return which GPUs a container is given, in the words of `--gpus`; None: none."""
    if spec.chosen is None:
        return spec.version.gpus
    return None if spec.chosen.device is None else f"device={spec.chosen.device.name}"


def limits_in_words(version: ModelVersion) -> tuple[str, ...]:
    """Return what a container may use: its engine keeps it to that."""
    words = []
    if version.memory_bytes is not None:
        words.append(f"memory {shown_memory(version.memory_bytes)} (container)")
    if version.cpus is not None:
        words.append(f"{shown_cpus(version.cpus)} (container)")
    return tuple(words)


def user_for(configured: str) -> str | None:
    """Return whom to run as in an image whose own user is `configured`; None: that one."""
    return USER if configured.partition(":")[0] in _ROOTS else None


def exit_code(status: int) -> int:
    """Return a container's status as a process's: minus the number of the signal that ended it."""
    return 128 - status if 128 < status <= 128 + 64 else status


def end_reason(spec: LaunchSpec, status: int, *, is_oom: bool) -> str:
    """Return why a container ended, where its status does not say it; goes on after its name."""
    if not is_oom:
        # For a process one has to guess whether it was the memory; here it is known.
        return "ended (killed by signal 9)" if exit_code(status) == -signal.SIGKILL else ""
    return out_of_memory(spec.version.memory_bytes)


def _environment(spec: LaunchSpec, configured: list[str]) -> dict[str, str]:
    version = spec.version
    environment: dict[str, str] = {}
    if version.bundle is not None or version.threads is not None:
        names = THREAD_VARIABLES if version.threads is None else ALL_THREAD_VARIABLES
        environment = dict.fromkeys(names, str(threads_of(version)))
    if _is_mounted(spec):
        path = [line.partition("=")[2] for line in configured if line.startswith("PYTHONPATH=")]
        environment["PYTHONPATH"] = ":".join([RUNTIME_DIR, *path])
    environment["HOME"] = "/tmp"  # noqa: S108 - the only place where libraries can write
    environment |= spec.variables
    if spec.variables:
        environment[HIDDEN_VARIABLE] = ",".join(spec.variables)
    environment |= {} if spec.chosen is None else spec.chosen.variables_inside
    return environment | {
        "PYTHONUNBUFFERED": "1",
        "SERVD_LISTEN": f"tcp://0.0.0.0:{REPLICA_PORT}",
        "SERVD_CURVE": KEYS_DIR,
        "SERVD_MAX_BATCH": str(version.max_batch),
        "SERVD_MODEL_NAME": version.model,
        "SERVD_MODEL_VERSION": version.version,
        "SERVD_ORPHAN_TIMEOUT": str(ORPHAN_TIMEOUT_S),
        "SERVD_REPLICA": str(spec.replica),
    }


def _is_mounted(spec: LaunchSpec) -> bool:
    return spec.version.image is not None and spec.version.bundle is not None


def _program(spec: LaunchSpec) -> dict[str, Any]:
    """Return what is run: the image's own program, or servd's runtime that is mounted."""
    if not _is_mounted(spec):
        return {}
    version = spec.version
    options = [f"--bundle={BUNDLE_DIR}", f"--model={version.model}", f"--version={version.version}"]
    return {
        "entrypoint": ["python3", "-m", "model_runtime", *options],
        "working_dir": "/tmp",  # noqa: S108 - as above
    }


def _binds(place: Place, spec: LaunchSpec) -> list[str]:
    binds = [f"{place.keys}:{KEYS_DIR}:ro"]
    if _is_mounted(spec):
        binds += [
            f"{spec.bundle_dir}:{BUNDLE_DIR}:ro",
            f"{place.runtime}:{RUNTIME_DIR}/model_runtime:ro",
        ]
    return binds

"""Runs exported Deployments as pods, as a cluster's node would. Used by test_exported_pods.py.

A stand-in for what of Kubernetes a pod meets, made of one Docker network: its arguments and
environment, the files of ConfigMaps and Secrets (owned by fsGroup, swapped atomically), its user,
its locks and limits, its probes over HTTP, and its end (preStop, SIGTERM, and after the grace
period SIGKILL). Names of Services are the network's aliases: they lead to a pod from its start to
its end, ready or not. The pause of preStop is `pause_s` instead of the exported one, so that tests
do not take minutes.
"""

import base64
import itertools
import os
import re
import secrets
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import docker
import yaml
from docker.models.containers import Container
from docker.types import Mount

from k8s_adapter.quantity import parse_cpu, parse_memory

LABEL = "io.servd.test-node"
READY_S = 60
PROBE_S = 2
POLL_S = 0.1

Object = dict[str, Any]


@dataclass
class Pod:
    """A container that is a pod of a Deployment. `files` are the folders of its volumes."""

    container: Container
    spec: Object
    address: str
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def box(self) -> Object:
        """What the Deployment says of the container."""
        found: Object = self.spec["containers"][0]
        return found

    def passes(self, probe: str) -> bool:
        """Return whether a probe gets its answer, asked once."""
        asked = self.box[probe]["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self.box["ports"]}
        url = f"http://{self.address}:{ports[asked['port']]}{asked['path']}"
        try:
            with urllib.request.urlopen(url, timeout=PROBE_S) as answer:
                return bool(200 <= answer.status < 400)
        except OSError:
            return False

    def wait_ready(self, until_s: float) -> None:
        """Return once the startup probe, and then readiness and liveness have passed."""
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            while not self.passes(probe):
                assert time.monotonic() < until_s, f"no {probe}:\n{self.log}"
                time.sleep(POLL_S)

    @property
    def log(self) -> str:
        """What the container has written."""
        return str(self.container.logs(tail=50).decode("utf-8", "replace"))


class Node:
    """Pods of what was applied last; a context manager that leaves nothing behind."""

    def __init__(self, engine: docker.DockerClient, pause_s: float = 0.5) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.pods: dict[str, list[Pod]] = {}
        self._engine = engine
        self._pause_s = pause_s
        self._name = f"servd-node-{secrets.token_hex(4)}"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="servd-node-"))
        self._folder.chmod(0o755)
        self._network = self._engine.networks.create(self._name, labels={LABEL: self._name})
        return self

    def __exit__(self, *exc_info: object) -> None:
        mine = {"label": f"{LABEL}={self._name}"}
        for container in self._engine.containers.list(all=True, filters=mine):
            container.remove(force=True, v=True)
        self._network.remove()
        shutil.rmtree(self._folder)

    def apply(self, folder: Path) -> list[str]:
        """Take over a folder's objects: start pods, renew mounted files, replace what has changed.

        Returns the Deployments whose pods were replaced.
        """
        texts = [path.read_text() for path in sorted(folder.glob("*.yaml"))]
        found = [body for text in texts for body in yaml.safe_load_all(text) if body]
        before = self.objects
        self.objects = {(body["kind"], body["metadata"]["name"]): body for body in found}
        changed = [
            name for name in self.pods if _template(before, name) != _template(self.objects, name)
        ]
        for pod in itertools.chain(*self.pods.values()):
            self._renew(pod)
        for name in changed:
            self._replace(name)
        for kind, name in self.objects:
            if kind == "Deployment" and name not in self.pods:
                self.scale(name, self._least(name))
        return changed

    def scale(self, name: str, count: int) -> None:
        """Start or end pods of a Deployment until there are so many; the oldest end first."""
        pods = self.pods.setdefault(name, [])
        while len(pods) < count:
            pods.append(self._run(name))
        while len(pods) > count:
            self.end(name, pods[0])

    def kill(self, name: str) -> None:
        """Kill a pod's process at once."""
        pod = self.pods[name].pop(0)
        pod.container.kill("SIGKILL")

    def end(self, name: str, pod: Pod) -> None:
        """End a pod as `kubectl delete pod` does, and insist that it ended by itself and well."""
        hook = pod.box["lifecycle"]["preStop"]
        if "sleep" in hook:
            time.sleep(self._pause_s)
        else:
            pause = f"sleep({self._pause_s})"
            command = [re.sub(r"sleep\(\d+\)", pause, word) for word in hook["exec"]["command"]]
            code, said = pod.container.exec_run(command)
            assert code == 0, said
        pod.container.stop(timeout=pod.spec["terminationGracePeriodSeconds"])
        pod.container.reload()
        assert pod.container.attrs["State"]["ExitCode"] == 0, pod.log
        self.pods[name].remove(pod)

    def wait_ready(self) -> None:
        """Wait until all pods are ready, which must be within a minute."""
        until_s = time.monotonic() + READY_S
        for pods in self.pods.values():
            for pod in pods:
                pod.wait_ready(until_s)

    def _replace(self, name: str) -> None:
        """Replace pods one by one, none before the next is ready."""
        for old in [*self.pods[name]]:
            self.pods[name].append(self._run(name))
            self.wait_ready()
            self.end(name, old)

    def _least(self, name: str) -> int:
        count = self.objects["Deployment", name]["spec"].get("replicas")
        if count is None:
            count = self.objects["HorizontalPodAutoscaler", name]["spec"]["minReplicas"]
        return int(count)

    def _run(self, name: str) -> Pod:
        spec = _template(self.objects, name)["spec"]
        box = spec["containers"][0]
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        folder.chmod(0o755)
        files = {each["name"]: folder / each["name"] for each in spec["volumes"]}
        mounts, temporary = self._mounts(spec, files)
        container = self._engine.containers.create(
            box["image"],
            box.get("args"),
            entrypoint=box.get("command"),
            environment=self._environment(box["env"]),
            mounts=mounts,
            tmpfs=temporary,
            labels={LABEL: self._name},
            network=self._name,
            healthcheck={"test": ["NONE"]},  # a kubelet asks probes instead
            **_locks(spec),
        )
        # An alias can only be given when a container joins; a pod has no name of its own.
        self._network.disconnect(container)
        self._network.connect(container, aliases=[self._service(name)])
        container.start()
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][self._name]["IPAddress"]
        return Pod(container, spec, address, files)

    def _service(self, name: str) -> str:
        """Return the name of the Service that selects a Deployment's pods."""
        labels = _template(self.objects, name)["metadata"]["labels"].items()
        (found,) = (
            other
            for (kind, other), body in self.objects.items()
            if kind == "Service" and body["spec"]["selector"].items() <= labels
        )
        return found

    def _environment(self, entries: list[Object]) -> dict[str, str]:
        found = {}
        for entry in entries:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            found[entry["name"]] = entry.get("value") or self._secret(reference["name"])[
                reference["key"]
            ].decode("ascii")
        return found

    def _secret(self, name: str) -> dict[str, bytes]:
        body = self.objects["Secret", name]
        plain = {key: text.encode() for key, text in body.get("stringData", {}).items()}
        return plain | {k: base64.b64decode(text) for k, text in body.get("data", {}).items()}

    def _mounts(
        self, spec: Object, files: Mapping[str, Path]
    ) -> tuple[list[Mount], dict[str, str]]:
        """Return a container's read-only folders, and its writable ones, which are in memory."""
        mounts, temporary = [], {}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        group = spec["securityContext"]["fsGroup"]
        for mount in spec["containers"][0]["volumeMounts"]:
            volume, path = volumes[mount["name"]], files[mount["name"]]
            if "emptyDir" in volume:
                temporary[mount["mountPath"]] = f"exec,mode=2777,gid={group}"
            else:
                self._write(volume, path, group)
                mounts.append(Mount(mount["mountPath"], str(path), "bind", read_only=True))
        return mounts, temporary

    def _renew(self, pod: Pod) -> None:
        for volume in pod.spec["volumes"]:
            if "configMap" in volume or "secret" in volume:
                group = pod.spec["securityContext"]["fsGroup"]
                self._write(volume, pod.files[volume["name"]], group)

    def _write(self, volume: Object, folder: Path, group: int) -> None:
        """Write a volume's files as a kubelet does: behind a link that is replaced in one step."""
        content, mode = self._content(volume)
        data = folder / f"..{secrets.token_hex(8)}"
        data.mkdir(parents=True)
        data.chmod(0o755)
        folder.chmod(0o755)
        for name, text in content.items():
            path = data / name
            path.write_bytes(text)
            # What fsGroup does to a volume: its group may read, whatever the mode says.
            path.chmod(mode | 0o040)
            os.chown(path, 0, group)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        link = folder / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(folder / "..data")

    def _content(self, volume: Object) -> tuple[dict[str, bytes], int]:
        if "configMap" in volume:
            source = volume["configMap"]
            body = self.objects["ConfigMap", source["name"]]
            found = {key: text.encode() for key, text in body["data"].items()}
        else:
            source = volume["secret"]
            found = self._secret(source["secretName"])
        if items := source.get("items"):
            found = {item["path"]: found[item["key"]] for item in items}
        return found, source.get("defaultMode", 0o644)


def _template(objects: Mapping[tuple[str, str], Object], name: str) -> Object:
    found: Object = objects["Deployment", name]["spec"]["template"]
    return found


def _locks(spec: Object) -> Object:
    """Return the user, the locks and the limits of a pod's container."""
    box = spec["containers"][0]
    user, own = spec["securityContext"], box["securityContext"]
    limits = box["resources"]["limits"]
    return {
        "user": f"{user['runAsUser']}:{user['runAsGroup']}",
        "group_add": [user["fsGroup"]],
        "read_only": own["readOnlyRootFilesystem"],
        "cap_drop": own["capabilities"]["drop"],
        "security_opt": [] if own["allowPrivilegeEscalation"] else ["no-new-privileges"],
        "mem_limit": parse_memory(limits["memory"]),
        "nano_cpus": parse_cpu(limits["cpu"]) * 1_000_000,
    }

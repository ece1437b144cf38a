"""What a registry is on a Kubernetes cluster: exported, applied, waited for. Used by
kubernetes_container_manager.py.

`servd export-k8s` itself writes it, as a program of its own: what builds and exports is imported
there and not by every script.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from servd.clipper.exceptions import ClipperException
from servd.clipper.kubernetes.kubectl import Kubectl

_EXPORT_TIMEOUT_S: Final = 1800.0
"""Building and pushing images takes as long as they are large."""
_NOTHING: Final = "nothing_to_export"


@dataclass
class ClusterExport:
    """The export of a data directory to a namespace, kept in `folder`.

    `settings` are the flags of `servd export-k8s` that are always the same.
    """

    kubectl: Kubectl
    data_dir: Path
    settings: tuple[str, ...] = ()
    registry: str | None = None
    _images: frozenset[str] = field(default_factory=frozenset)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.data_dir / "clipper-k8s" / self.kubectl.namespace

    def renew(self) -> list[str]:
        """Bring what is registered now onto the cluster, and wait for it; return the warnings.

        Raises:
            ClipperException: it cannot be exported or built, or the cluster refuses it.
        """
        before = self.folder.with_name(f"{self.folder.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        if self.folder.is_dir():
            shutil.copytree(self.folder, before)
        report = self._exported()
        if report is None:
            self.kubectl.delete(_files(before))
            shutil.rmtree(self.folder, ignore_errors=True)
            return []
        self.kubectl.apply(self.folder)
        for deployment in self._deployments():
            self.kubectl.wait_for(deployment)
        # What is not wanted any more goes last: the front ends have heard by now.
        self.kubectl.delete([before / name for name in report["removed"]])
        warnings: list[str] = report["warnings"]
        return warnings

    def remove(self) -> None:
        """Take everything from the cluster.

        Raises:
            ClipperException: it refuses.
        """
        self.kubectl.delete(_files(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _exported(self) -> dict[str, Any] | None:
        """Write the files, and build and push images that were not; None: there is nothing."""
        report = self._export()
        if report is None:
            return None
        images = frozenset(report["images"])
        if images <= self._images:
            return report
        built = self._export("--build" if self.registry is None else "--push")
        self._images |= images
        removed = [*report["removed"], *(built or report)["removed"]]
        return {**(built or report), "removed": removed}

    def _export(self, *more: str) -> dict[str, Any] | None:
        where = () if self.registry is None else ("--image-registry", self.registry)
        command = [
            *(sys.executable, "-P", "-m", "servd", "export-k8s", "--json", "--force"),
            *("--data-dir", str(self.data_dir), "--out", str(self.folder)),
            *("--namespace", self.kubectl.namespace, *self.settings, *where, *more),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_EXPORT_TIMEOUT_S, check=False
        )
        if done.returncode == 0:
            return _last_document(done.stdout)
        try:
            error = json.loads(done.stderr.strip().splitlines()[-1])["error"]
        except (ValueError, KeyError, IndexError) as lost:
            raise ClipperException(f"servd export-k8s failed: {done.stderr}") from lost
        if error["code"] == _NOTHING:
            return None
        parts = (error["message"], error["traceback"], error["hint"])
        raise ClipperException("\n".join(part for part in parts if part))

    def _deployments(self) -> Iterable[str]:
        for file in _files(self.folder):
            for body in yaml.safe_load_all(file.read_text("utf-8")):
                if body and body["kind"] == "Deployment":
                    yield body["metadata"]["name"]


def _last_document(text: str) -> dict[str, Any]:
    """Return the JSON object that a command has printed, after whatever else."""
    found: dict[str, Any] = json.loads(text[text.index("{") :])
    return found


def _files(folder: Path) -> list[Path]:
    """Return an export's files; its Namespace is not one's own to delete."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.glob("*.yaml")) if "-namespace." not in path.name]

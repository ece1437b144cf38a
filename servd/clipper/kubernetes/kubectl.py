"""kubectl, as a program that is asked. Used by kubernetes_container_manager.py.

Which cluster it talks to is its own to know: KUBECONFIG, or what its configuration says.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from servd.clipper.exceptions import ClipperException

ROLLOUT_S: Final = 600
"""How long pods may take to be ready: the image has to be pulled and the model loaded."""
_CALL_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Calls for one namespace."""

    namespace: str

    def run(self, *words: str, timeout_s: float = _CALL_S) -> str:
        """Run `kubectl WORDS` in the namespace and return what it prints.

        Raises:
            ClipperException: there is no kubectl, or it fails; the message has what it said.
        """
        program = shutil.which("kubectl")
        if program is None:
            raise ClipperException(
                "kubectl is not installed, which reaches the Kubernetes cluster. What to do: "
                "install it, and see that kubectl get nodes answers"
            )
        command = [program, "--namespace", self.namespace, *words]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ClipperException(
                f"kubectl {' '.join(words)} did not end within {timeout_s:g} s"
            ) from error
        if done.returncode:
            raise ClipperException(
                f"Could not connect to Clipper Kubernetes cluster, or it refused. Reason: "
                f"kubectl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def get(self, *words: str) -> dict[str, Any] | None:
        """Return an object, or a list of objects; None where there is none of that name.

        Raises:
            ClipperException: as of `run`.
        """
        text = self.run("get", *words, "--ignore-not-found", "--output", "json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def apply(self, folder: Path) -> None:
        """Have the cluster take what is in a folder's files."""
        self.run("apply", "--filename", str(folder))

    def delete(self, files: Sequence[Path]) -> None:
        """Have the cluster give up what is in these files, if it has it."""
        if files:
            named = [word for file in files for word in ("--filename", str(file))]
            self.run("delete", *named, "--ignore-not-found", timeout_s=ROLLOUT_S)

    def wait_for(self, deployment: str) -> None:
        """Return when all pods of a Deployment are those that are wanted, and ready.

        Raises:
            ClipperException: they are not, within `ROLLOUT_S`.
        """
        limit = f"--timeout={ROLLOUT_S}s"
        self.run("rollout", "status", f"deployment/{deployment}", limit, timeout_s=ROLLOUT_S + 30.0)

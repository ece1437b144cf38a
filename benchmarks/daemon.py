"""servd under load, driven through its own command line in a temporary data directory."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

from benchmarks.environment import inputs_folder
from benchmarks.servers import ServerError
from benchmarks.settings import ROOT, Settings
from benchmarks.workloads import Workload

COMMAND_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout of servd, the environment that runs it, and what it is called in tables."""

    root: Path = ROOT
    python: Path = Path(sys.executable)
    name: str = "servd"

    @staticmethod
    def at(root: Path) -> "Tree":
        """Return another checkout, with the environment that `make` made there.

        Raises:
            ServerError: there is none.
        """
        python = root.absolute() / ".venv/bin/python"
        if not python.exists():
            raise ServerError(f"{root} has no .venv: run `make quickstart` there first")
        return Tree(root.absolute(), python, "before")


HERE_TREE = Tree()


class Daemon:
    """`servd start` … `servd stop`; a context manager. `pid` and `port` are the daemon's."""

    def __init__(
        self, settings: Settings, cache: str = "0", frontends: int = 1, tree: Tree = HERE_TREE
    ) -> None:
        self.settings = settings
        self.name = tree.name if frontends == 1 else f"{tree.name} x{frontends}"
        self.tree = tree
        self._cache = cache
        self._frontends = frontends
        self.carrier = settings.carrier
        self.data_dir: Path = Path()
        self.pid = 0
        self.port = 0

    def __enter__(self) -> Self:
        self.data_dir = Path(tempfile.mkdtemp(prefix="servd-bench-"))
        status = self.start()
        self.pid = status["pid"]
        self.port = urlsplit(status["query_url"]).port
        return self

    def start(self) -> dict[str, Any]:
        """Start the daemon on free ports and return its status."""
        more = ("--frontends", str(self._frontends)) if self._frontends > 1 else ()
        return self.servd("start", *self.options, "--drain", "2s", *more)

    @property
    def options(self) -> list[str]:
        """The settings of any daemon here; a carrier only where one was asked for.

        Another checkout may be older than that setting.
        """
        ports = ["--query-port", "0", "--admin-port", "0", "--cache-size", self._cache]
        return ports if self.carrier == "auto" else [*ports, "--carrier", self.carrier]

    @property
    def pids(self) -> list[int]:
        """The daemon and its front-end processes: its replicas' time is the model's."""
        if self._frontends == 1:
            return [self.pid]
        children = psutil.Process(self.pid).children()
        return [self.pid, *(c.pid for c in children if "servd.processes.frontend" in c.cmdline())]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.servd("stop")
        finally:
            self._keep_logs()
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _keep_logs(self) -> None:
        logs = self.data_dir / "logs"
        if logs.is_dir():
            shutil.copytree(logs, self.settings.out / "servd-logs", dirs_exist_ok=True)

    def servd(self, *arguments: str) -> Any:
        """Run a command of servd's and return its JSON.

        Raises:
            ServerError: it failed; holds what it printed.
        """
        python = str(self.tree.python)
        command = [python, "-m", "servd", "--json", "--data-dir", str(self.data_dir)]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.tree.root,
            env={**os.environ, "SERVD_ADMIN": ""},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"servd {arguments[0]}: {done.stdout} {done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def deploy(self, workload: Workload, *options: str, slo_ms: float = 100) -> None:
        """Deploy the workload's model, or change what `options` say about it."""
        target = workload.target_path(inputs_folder(self.settings.work))
        # The fitted pipeline knows its columns, and is asked by what it says of them.
        example = [] if workload.is_table else ["--example", json.dumps([1.0] * workload.columns)]
        fixed = (
            "--name",
            workload.name,
            "--version",
            "1",
            "--default",
            "-1",
            "--slo",
            f"{slo_ms:g}ms",
        )
        self.servd("deploy", target, *fixed, *example, *options)

    def replicas(self) -> list[dict[str, Any]]:
        """Return `servd ps`."""
        return self.servd("ps")

"""A real daemon in a process of its own, driven through the CLI; conftest.py makes the fixtures."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

CLI_TIMEOUT_S = 180.0

CARRIER = os.environ.get("SERVD_CARRIER", "")
"""What carries messages to replicas where a test does not say; "": as by default."""


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Daemon:
    """A servd daemon with its own data directory and ports, as a user's shell sees it."""

    data_dir: Path
    query_port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    carrier: str = CARRIER
    expected_errors: list[str] = field(default_factory=list)
    """Patterns of the errors that a test provokes; any other in a log of servd's own fails it."""

    @property
    def env(self) -> dict[str, str]:
        """The environment in which any servd command means this daemon."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("SERVD_")}
        return own | {
            "SERVD_DATA_DIR": str(self.data_dir),
            "SERVD_QUERY_PORT": str(self.query_port),
            "SERVD_ADMIN_PORT": str(self.admin_port),
            **({"SERVD_CARRIER": self.carrier} if self.carrier else {}),
            "NO_COLOR": "1",
        }

    @property
    def query_url(self) -> str:
        """Where applications answer queries."""
        return f"http://127.0.0.1:{self.query_port}"

    @property
    def admin_url(self) -> str:
        """Where the admin API answers over TCP."""
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def pid(self) -> int | None:
        """The daemon's process, or None while none runs."""
        try:
            pid: int = json.loads((self.data_dir / "daemon.json").read_text())["pid"]
        except FileNotFoundError:
            return None
        return pid

    def cli(
        self, *args: str, cwd: Path | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `servd ARGS` to its end and return it with its texts; a failure is not raised."""
        return subprocess.run(
            [sys.executable, "-m", "servd", *args],
            cwd=cwd or self.data_dir.parent,
            env=self.env,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=CLI_TIMEOUT_S,
            check=False,
        )

    def start(self) -> None:
        """Run `servd start` and insist that it worked."""
        done = self.cli("start")
        assert done.returncode == 0, f"servd start failed:\n{done.stdout}{done.stderr}"

    def stop(self) -> None:
        """End the daemon and everything below it, politely first."""
        pid = self.pid
        if pid is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.cli("stop", "--drain", "1")
        try:
            process = psutil.Process(pid)
            # A pid that a killed daemon left behind may be another process by now.
            if str(self.data_dir) not in process.cmdline() + list(process.environ().values()):
                return
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)

    def check_logs(self) -> None:
        """Insist that no log of servd's own tells of an error that nobody provoked."""
        for path in sorted((self.data_dir / "logs").glob("*.*")):
            for line in path.read_text(errors="replace").splitlines():
                is_error = " ERROR " in line[:40] or line.lstrip().startswith("Traceback")
                is_expected = any(re.search(each, line) for each in self.expected_errors)
                assert not is_error or is_expected, f"{path.name} has an error:\n{line}"

    def query(self, path: str, body: Any) -> tuple[int, Any]:
        """POST `body` (text as it is, anything else as JSON) and return (status, JSON answer)."""
        text = body if isinstance(body, str) else json.dumps(body)
        request = urllib.request.Request(self.query_url + path, data=text.encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

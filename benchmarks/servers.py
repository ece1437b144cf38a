"""The servers under load, servd's daemon apart (daemon.py): each a process and a port."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.environment import find_nginx, inputs_folder
from benchmarks.processes import children
from benchmarks.settings import ROOT, Settings
from benchmarks.workloads import Workload

START_TIMEOUT_S = 60.0
CONSTANTS = ("ceiling", "nginx")
"""Servers that answer the same to everything, so that outputs are not compared."""

NGINX_CONFIG = """
worker_processes {workers}; daemon off; pid {folder}/nginx.pid; error_log stderr crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 18000; }}
http {{
    access_log off; keepalive_requests 1000000000; client_max_body_size 64m;
    client_body_temp_path {folder}; default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 200 '{{"query_id":12345,"output":6.6,"default":false}}'; }}
    }}
}}
"""


class ServerError(Exception):
    """A server did not come up, or said no."""


@dataclass
class Server:
    """A program that answers on a port of loopback; a context manager that ends it."""

    name: str
    command: Sequence[str]
    port: int
    env: dict[str, str] = field(default_factory=dict)
    log: Path = Path(os.devnull)
    process: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        """The process and its workers, whose CPU time counts."""
        return [self.process.pid, *children(self.process.pid)]

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self.env},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for_port(self.port, self.process, self.name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes], name: str) -> None:
    """Return once the port takes connections.

    Raises:
        ServerError: the process ended first, or took too long.
    """
    limit = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise ServerError(f"{name} ended with {process.returncode}; see its log")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise ServerError(f"{name} did not listen within {START_TIMEOUT_S:.0f} s")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def baselines(workload: Workload, settings: Settings) -> list[Server]:
    """Return every server that servd is compared with on this workload."""
    servers = [ceiling(settings), fastapi(workload, settings, 1), fastapi(workload, settings, 2)]
    if find_nginx():
        servers.append(nginx(settings))
    return servers


def ceiling(settings: Settings) -> Server:
    """Return the constant answer of servd's own HTTP layer."""
    port = free_port()
    command = [str(settings.python), "-m", "benchmarks.baselines.constant", str(port)]
    return Server("ceiling", command, port, log=settings.out / "ceiling.log")


def fastapi(workload: Workload, settings: Settings, workers: int) -> Server:
    """Return FastAPI on uvicorn with the model in its process."""
    port = free_port()
    name = "fastapi" if workers == 1 else f"fastapi x{workers}"
    module = "fastapi_rows" if workload.is_table else "fastapi_app"
    module = "fastapi_files" if workload.is_file else module
    command = [
        *(str(settings.python), "-m", "uvicorn", f"benchmarks.baselines.{module}:app"),
        *("--port", str(port), "--workers", str(workers), "--loop", "uvloop"),
        *("--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--backlog", "4096"),
    ]
    env = {
        "BENCH_NAME": workload.name,
        "BENCH_TARGET": workload.target_path(inputs_folder(settings.work)),
    }
    return Server(name, command, port, env, settings.out / "fastapi.log")


def nginx(settings: Settings, workers: int = 1) -> Server:
    """Return nginx answering a constant."""
    port = free_port()
    folder = settings.work / "nginx"
    folder.mkdir(exist_ok=True)
    config = folder / f"{port}.conf"
    config.write_text(NGINX_CONFIG.format(folder=folder, port=port, workers=workers))
    command = [find_nginx() or "nginx", "-c", str(config)]
    return Server("nginx", command, port, log=settings.out / "nginx.log")

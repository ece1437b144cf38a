"""Closed loop: as many queries as connections, the next one sent when the answer is there (wrk)."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.environment import need
from benchmarks.points import Point
from benchmarks.processes import cpu_s
from benchmarks.workloads import HERE, Workload


class Target(Protocol):
    """What can be put under load: a Server or a Daemon."""

    name: str
    port: int

    @property
    def pids(self) -> list[int]:
        """The processes whose CPU time counts."""


@dataclass(frozen=True, slots=True)
class ClosedLoad:
    """How many connections ask for how long, by how many threads."""

    connections: int
    seconds: float
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Body:
    """A file that is the one body, of a Content-Type."""

    path: Path
    kind: str


def run_wrk(
    target: Target, workload: Workload, inputs: Path, load: ClosedLoad, body: Body | None = None
) -> Point:
    """Load the target and return what came; `round` is to be set by the caller."""
    sent = [str(body.path), body.kind] if body else [str(workload.bodies(inputs))]
    url = f"http://127.0.0.1:{target.port}{workload.path}"
    command = [
        *(
            need("wrk", "wrk"),
            f"-t{min(load.threads, load.connections)}",  # wrk wants one for each at least
            f"-c{load.connections}",
            f"-d{max(1, round(load.seconds))}s",
            "--timeout",
            "5s",
        ),
        *("-s", str(HERE / "wrk.lua"), url, "--", *sent),
    ]
    before = cpu_s(target.pids)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    used_s = cpu_s(target.pids) - before
    line = next(text for text in done.stdout.splitlines() if text.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    return Point(
        workload=workload.key,
        server=target.name,
        loop="closed",
        connections=load.connections,
        round=0,
        rate=result["answered"] / result["elapsed_s"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        faults=result["bad"] + result["errors"],
        cpu_us=used_s / max(1, result["answered"]) * 1e6,
        default_share=result["defaults"] / max(1, result["answered"]),
    )

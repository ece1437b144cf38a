"""Open loop and checked runs: the program that loadgen.c is compiled into.

Used by check.py (every answer compared before anything is timed), by open_loop.py and by soak.py.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import inputs_folder, make_generator
from benchmarks.points import Point
from benchmarks.processes import cpu_s
from benchmarks.servers import CONSTANTS, ServerError
from benchmarks.settings import Settings
from benchmarks.workloads import Workload
from benchmarks.wrk import Target


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: at `rate` a second, or, where that is 0, as fast as answers come."""

    connections: int
    rate: float = 0
    seconds: float = 0
    count: int = 0
    slo_ms: float = 0
    bodies: Path | None = None
    """Others than the workload's; answers are then not compared."""


def generator_command(
    target: Target, workload: Workload, settings: Settings, load: Load
) -> list[str]:
    """Return the command line of the load generator."""
    inputs = inputs_folder(settings.work)
    is_compared = load.bodies is None and target.name not in CONSTANTS
    return [
        *(str(make_generator(settings.work)), str(target.port), workload.path),
        str(load.bodies or workload.bodies(inputs)),
        str(workload.expected(inputs)) if is_compared else "-",
        *(str(load.connections), str(load.rate), str(load.seconds)),
        *(str(load.count), str(load.slo_ms)),
    ]


def run_load(target: Target, workload: Workload, settings: Settings, load: Load) -> dict[str, Any]:
    """Run the generator to its end and return its report."""
    command = generator_command(target, workload, settings, load)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ServerError(f"{target.name} does not answer {workload.key}: see above")
    return json.loads(done.stdout)


def open_point(
    target: Target, workload: Workload, settings: Settings, load: Load, label: str
) -> Point:
    """Run an open loop and return it as a point."""
    before = cpu_s(target.pids)
    result = run_load(target, workload, settings, load)
    used_s = cpu_s(target.pids) - before
    return as_point(result, (workload.key, target.name, label), load, used_s)


def as_point(
    result: dict[str, Any], names: tuple[str, str, str], load: Load, used_s: float
) -> Point:
    """Return the generator's report as a point; `names` are workload, server and loop."""
    answered = max(1, result["answered"])
    return Point(
        *names,
        connections=load.connections,
        round=0,
        rate=result["rate"],
        p50_ms=result["latency_ms"]["p50"],
        p99_ms=result["latency_ms"]["p99"],
        faults=faults_of(result),
        cpu_us=used_s / answered * 1e6,
        offered=load.rate,
        goodput=result["goodput"],
        default_share=result["defaults"] / answered,
        default_p99_ms=result["default_ms"]["p99"],
    )


def faults_of(result: dict[str, Any]) -> int:
    """Return how many queries got no answer, an error or a wrong output."""
    return sum(result[name] for name in ("wrong", "not_ok", "broken", "unanswered"))

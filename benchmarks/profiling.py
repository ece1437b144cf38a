"""`python -m benchmarks profile` (`make profile`): where the daemon's time goes under W1.

A flame graph by py-spy, CPU time a query from /proc, and instructions a query: by `perf stat` where
the processor's counters can be read (most virtual machines hide them), else by callgrind.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.daemon import Daemon
from benchmarks.environment import inputs_folder
from benchmarks.loadgen import Load, generator_command, run_load
from benchmarks.processes import cpu_s
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS
from benchmarks.wrk import ClosedLoad, run_wrk

FLAME_S = 10
CONNECTIONS = 256
COUNTED_QUERIES = 300_000
CALLGRIND_NOTE = (
    "this processor's counters cannot be read here; callgrind counts instead:"
    " python -m benchmarks instructions"
)


def run_profile(settings: Settings) -> int:
    """Draw flame.svg and print CPU time and instructions a query."""
    workload = WORKLOADS["W1"]
    inputs = inputs_folder(settings.work)
    with Daemon(settings) as daemon:
        daemon.deploy(workload)
        run_wrk(daemon, workload, inputs, ClosedLoad(CONNECTIONS, settings.warm_up_s))
        for connections in settings.connections:
            point = run_wrk(daemon, workload, inputs, ClosedLoad(connections, settings.seconds))
            print(
                f"{connections} connections: {point.rate:,.0f}/s, {point.cpu_us:.2f} µs CPU a query"
            )
        print_instructions(daemon, settings)
        return draw_flame(daemon, settings)


def draw_flame(daemon: Daemon, settings: Settings) -> int:
    """Record the daemon's stacks while it is loaded."""
    path = settings.out / "flame.svg"
    spy = settings.python.parent / "py-spy"
    load = Load(CONNECTIONS, seconds=FLAME_S + 3)
    generator = generator_command(daemon, WORKLOADS["W1"], settings, load)
    with subprocess.Popen(generator, stdout=subprocess.DEVNULL) as loading:
        record: list[str | Path] = [
            spy,
            "record",
            "--native",
            "--threads",
            "--rate",
            "500",
            "--duration",
            str(FLAME_S),
        ]
        done = subprocess.run(
            [*record, "--pid", str(daemon.pid), "--output", path],
            capture_output=True,
            text=True,
            check=False,
        )
        loading.wait()
    if done.returncode:
        print(f"py-spy failed: {done.stderr.strip()}", file=sys.stderr)
        return 1
    print(f"flame graph: {path}")
    return 0


def print_instructions(daemon: Daemon, settings: Settings) -> None:
    """Print instructions a query, the kernel's included, where they can be counted."""

    def load() -> dict[str, Any]:
        counted = Load(CONNECTIONS, count=COUNTED_QUERIES)
        return run_load(daemon, WORKLOADS["W1"], settings, counted)

    count = instructions(daemon.pid, load)
    if count is None:
        print(CALLGRIND_NOTE)
        return
    before = cpu_s(daemon.pids)
    load()
    used = (cpu_s(daemon.pids) - before) / COUNTED_QUERIES * 1e6
    print(f"{count / COUNTED_QUERIES:,.0f} instructions and {used:.2f} µs CPU a query")


def instructions(pid: int, load: Callable[[], dict[str, Any]]) -> int | None:
    """Return the instructions that a process runs during a load, or None."""
    perf = shutil.which("perf")
    if perf is None or not can_count(perf):
        return None
    command = [perf, "stat", "-x", ",", "-e", "instructions", "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as counter:
        try:
            load()
        finally:
            counter.send_signal(signal.SIGINT)
        said = counter.stderr.read()
    first = next((line for line in said.splitlines() if "instructions" in line), "")
    value = first.partition(",")[0]
    return int(value) if value.isdigit() else None


def can_count(perf: str) -> bool:
    """Return whether the processor's counters can be read."""
    probe = [perf, "stat", "-x", ",", "-e", "instructions", "true"]
    said = subprocess.run(probe, capture_output=True, text=True, check=False).stderr
    return said[:1].isdigit()

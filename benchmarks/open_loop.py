"""Open loop rounds: queries arrive at a constant rate whether or not answers come.

Rates are shares of the peak that the closed loop has just shown. nginx gets servd's rates: its tail
is what the machine itself makes. FastAPI gets shares of its own peak.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from benchmarks.daemon import Daemon
from benchmarks.loadgen import Load, as_point, generator_command, open_point
from benchmarks.points import Point
from benchmarks.processes import cpu_s
from benchmarks.settings import Settings
from benchmarks.workloads import Workload
from benchmarks.wrk import Target

MEASURED = ("W1", "W2", "W3", "W5")
SHARES = (50, 80, 150)
"""Per cent of the peak."""

SLO_MS = 20.0
SLO_RATE = 20_000.0
HANG_RATE = 10_000.0
HANG_S = 0.2
HANG_EVERY_S = 1.0
HANG_LEAST_S = 3.5
"""How long the load goes on at least, so that some hangs fall into it."""


def load_at(rate: float, settings: Settings) -> Load:
    """Return a load with connections to spare for all that the SLO lets be in flight."""
    connections = int(min(8192, max(256, rate * SLO_MS / 1000 * 3)))
    return Load(connections, rate=rate, seconds=settings.seconds, slo_ms=SLO_MS)


def open_rounds(
    targets: Sequence[Target], workload: Workload, settings: Settings, peaks: Mapping[str, float]
) -> Iterator[Point]:
    """Yield a point for each round, rate and server; servd has an SLO of 20 ms meanwhile."""
    daemon = next(target for target in targets if isinstance(target, Daemon))
    daemon.deploy(workload, slo_ms=SLO_MS)
    own_peak = {**peaks, "nginx": peaks["servd"]}
    compared = [target for target in targets if target.name in {"servd", "nginx", "fastapi"}]
    for number in range(settings.rounds):
        for share in SHARES:
            for target in compared:
                load = load_at(own_peak[target.name] * share / 100, settings)
                point = open_point(target, workload, settings, load, f"open {share} %")
                yield replace(point, round=number)
        if workload.key == "W2":
            rate = min(SLO_RATE, peaks["servd"] / 2)
            point = open_point(daemon, workload, settings, load_at(rate, settings), "open 20k")
            yield replace(point, round=number)
            yield replace(hang_point(daemon, workload, settings, peaks["servd"]), round=number)


def hang_point(daemon: Daemon, workload: Workload, settings: Settings, peak: float) -> Point:
    """Return an open loop during which the replica is stopped for 200 ms every second."""
    load = load_at(min(HANG_RATE, peak / 2), settings)
    load = replace(load, seconds=max(HANG_LEAST_S, load.seconds))
    pid = daemon.replicas()[0]["pid"]
    before = cpu_s(daemon.pids)
    command = generator_command(daemon, workload, settings, load)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
        while generator.poll() is None:
            time.sleep(HANG_EVERY_S - HANG_S)
            hang(pid)
        result = json.loads(generator.stdout.read())
    used_s = cpu_s(daemon.pids) - before
    return as_point(result, (workload.key, daemon.name, "hang 200 ms"), load, used_s)


def hang(pid: int) -> None:
    """Stop a process for 200 ms, as a model does that waits for something."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(HANG_S)
    finally:
        os.kill(pid, signal.SIGCONT)

"""`python -m benchmarks`: all workloads, servd beside the baselines, every answer checked."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.check import CHECK_SLO_MS, check_answers
from benchmarks.closed_loop import closed_rounds, warm_up
from benchmarks.daemon import Daemon
from benchmarks.environment import can_serve
from benchmarks.machine import describe_machine
from benchmarks.open_loop import MEASURED, open_rounds
from benchmarks.peers import peers
from benchmarks.points import Point, medians
from benchmarks.report import print_progress, print_table
from benchmarks.servers import baselines
from benchmarks.settings import Settings
from benchmarks.targets import judge
from benchmarks.workloads import WORKLOADS, Workload
from benchmarks.wrk import Target

WIDE = ("W1", "W2")
"""Workloads that are measured with several front-end processes too."""

FRONTENDS = 2


def run_suite(settings: Settings) -> dict[str, Any]:
    """Measure everything that is asked for; print a table after each workload."""
    points: list[Point] = []
    notes: list[str] = []
    for key in settings.workloads:
        workload = WORKLOADS[key]
        if not can_serve(workload):
            notes.append(f"{key} left out: its model's libraries are not in servd's environment")
            continue
        points += measure(workload, settings)
        print_table(workload, medians(points))
    rows = medians(points)
    return {
        "machine": describe_machine(settings),
        "settings": {"rounds": settings.rounds, "seconds": settings.seconds},
        "notes": notes,
        "medians": rows,
        "targets": [asdict(verdict) for verdict in judge(rows)],
        "points": [asdict(point) for point in points],
    }


def measure(workload: Workload, settings: Settings) -> list[Point]:
    """Return all points of one workload."""
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(settings, workload.cache))
        daemon.deploy(workload, slo_ms=CHECK_SLO_MS)
        others = [*baselines(workload, settings), *peers(workload, settings)]
        targets: list[Target] = [daemon, *(stack.enter_context(other) for other in others)]
        if workload.key in WIDE:
            wide = stack.enter_context(Daemon(settings, workload.cache, FRONTENDS))
            wide.deploy(workload, slo_ms=CHECK_SLO_MS)
            targets.append(wide)
        for target in targets:
            compared = check_answers(target, workload, settings)
            print_progress(f"{workload.key} {target.name}: {compared} answers are right")
        daemons = [target for target in targets if isinstance(target, Daemon)]
        for daemon in daemons:
            daemon.deploy(workload)
        timed = targets if settings.are_baselines_timed else daemons
        warm_up(timed, workload, settings)
        points = []
        for point in closed_rounds(timed, workload, settings):
            print_progress(describe(point))
            points.append(point)
        if settings.is_open_loop and workload.key in MEASURED:
            for point in open_rounds(timed, workload, settings, peaks(points)):
                print_progress(describe(point))
                points.append(point)
    return points


def peaks(points: Sequence[Point]) -> dict[str, float]:
    """Return each server's median rate at the most connections."""
    most = max(point.connections for point in points)
    names = {point.server for point in points}
    return {
        name: median(p.rate for p in points if p.server == name and p.connections == most)
        for name in names
    }


def describe(point: Point) -> str:
    """Return a point on one line."""
    return (
        f"{point.workload} round {point.round + 1} {point.loop} {point.connections}"
        f" {point.server}: {point.rate:,.0f}/s p50 {point.p50_ms:.2f} p99 {point.p99_ms:.2f} ms"
        f" faults {point.faults}"
    )

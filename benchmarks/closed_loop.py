"""Closed loop rounds: every server in turn at each number of connections, again and again.

Rounds are interleaved, so that what disturbs the machine for a while disturbs all alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.environment import inputs_folder
from benchmarks.points import Point
from benchmarks.settings import Settings
from benchmarks.workloads import Workload
from benchmarks.wrk import ClosedLoad, Target, run_wrk


def warm_up(targets: Sequence[Target], workload: Workload, settings: Settings) -> None:
    """Load each server for a moment, so that caches and batch sizes have settled."""
    inputs = inputs_folder(settings.work)
    load = ClosedLoad(max(settings.connections), settings.warm_up_s, settings.threads)
    for target in targets:
        run_wrk(target, workload, inputs, load)


def closed_rounds(
    targets: Sequence[Target], workload: Workload, settings: Settings
) -> Iterator[Point]:
    """Yield a point for each round, number of connections and server."""
    inputs = inputs_folder(settings.work)
    for number in range(settings.rounds):
        first = number % len(targets)
        for connections in settings.connections:
            load = ClosedLoad(connections, settings.seconds, settings.threads)
            for target in (*targets[first:], *targets[:first]):
                point = run_wrk(target, workload, inputs, load)
                yield replace(point, round=number)

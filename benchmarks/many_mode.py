"""`python -m benchmarks many`: N front ends beside as many workers of FastAPI, for a large machine.

All servers run at once and are loaded in turn by `--threads` of wrk. What an answer costs is the
time of all processes of a server, of servd its replicas too, as FastAPI has the model in its own.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Self

import psutil

from benchmarks.check import CHECK_SLO_MS, check_answers
from benchmarks.closed_loop import closed_rounds, warm_up
from benchmarks.daemon import Daemon
from benchmarks.environment import find_nginx
from benchmarks.machine import describe_machine
from benchmarks.points import Point, medians
from benchmarks.report import Table, machine_text, markdown, print_progress, write_json
from benchmarks.servers import Server, fastapi, nginx
from benchmarks.settings import Settings
from benchmarks.suite import describe
from benchmarks.workloads import WORKLOADS, Workload
from benchmarks.wrk import Target

HEADS = [
    *("conn", "front ends", "replicas", "servd /s", "p50 ms", "p99 ms", "µs CPU", "late"),
    *("workers", "FastAPI /s", "p50 ms", "p99 ms", "µs CPU", "faults"),
    *("servd is", "beside the narrowest"),
]


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of the table: servd with front ends and replicas, FastAPI with workers."""

    frontends: int
    workers: int

    @property
    def replicas(self) -> int:
        """One for each two front ends: a batch's worth of work is less than the HTTP of it."""
        return max(1, self.frontends // 2)

    @property
    def names(self) -> tuple[str, str]:
        """The names that the two servers have in points."""
        mine = "servd" if self.frontends == 1 else f"servd x{self.frontends}"
        return mine, "fastapi" if self.workers == 1 else f"fastapi x{self.workers}"


class Wide(Daemon):
    """A daemon with a workload deployed by options of its own, all of whose CPU time counts."""

    def __init__(
        self, settings: Settings, workload: Workload, frontends: int, options: Sequence[str]
    ) -> None:
        super().__init__(settings, workload.cache, frontends)
        self._workload = workload
        self._deployment = tuple(options)

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.deploy(self._workload, slo_ms=CHECK_SLO_MS)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def deploy(self, workload: Workload, *options: str, slo_ms: float = 100) -> None:
        """Deploy with the daemon's own options, such as its replicas."""
        super().deploy(workload, *self._deployment, *options, slo_ms=slo_ms)

    @property
    def pids(self) -> list[int]:
        """The daemon and all that it has started."""
        children = psutil.Process(self.pid).children(recursive=True)
        return [self.pid, *(child.pid for child in children)]


def pairs_of(frontends: Sequence[int]) -> list[Pair]:
    """Return as many workers as front ends, and for the most of these as many as processes."""
    widest = Pair(max(frontends), max(frontends))
    processes = widest.frontends + widest.replicas
    return [*(Pair(n, n) for n in sorted(frontends)), Pair(widest.frontends, processes)]


def run_many_mode(settings: Settings) -> str:
    """Return a table for each workload as Markdown; the figures are kept as JSON."""
    parts: list[str] = []
    kept: list[Point] = []
    pairs = pairs_of(settings.frontends)
    for key in settings.workloads:
        points: list[Point] = []
        try:
            for point in measure(WORKLOADS[key], settings, pairs):
                print_progress(describe(point))
                points.append(point)
        finally:  # what takes long may be ended, and keeps what it has
            kept += points
            results = results_of(kept, settings)
            write_json(settings.out / "many.json", results)
        table = markdown([HEADS, *rows_of(points, pairs)])
        title = f"### {key} by many front ends: {WORKLOADS[key].title}"
        parts.append(f"{title}\n\n{table}\n{bound_of(points, settings)}\n")
        text = "\n".join([machine_text(results), *parts])
        (settings.out / "many.md").write_text(text, "utf-8")
    return text


def measure(workload: Workload, settings: Settings, pairs: Sequence[Pair]) -> Iterator[Point]:
    """Yield the closed loop's points of all servers, whose answers were checked first."""
    daemons = [
        Wide(settings, workload, pair.frontends, ("--replicas", str(pair.replicas)))
        for pair in pairs[:-1]
    ]
    others = [fastapi(workload, settings, pair.workers) for pair in pairs]
    targets: list[Target] = [*daemons, *others, *generators(settings)]
    with ExitStack() as stack:
        start_all(targets, stack)
        for target in targets:
            compared = check_answers(target, workload, settings)
            print_progress(f"{workload.key} {target.name}: {compared} answers are right")
        for daemon in daemons:
            daemon.deploy(workload)
        warm_up(targets, workload, settings)
        yield from closed_rounds(targets, workload, settings)


def start_all(targets: Sequence[Any], stack: ExitStack) -> None:
    """Start servers side by side, as each takes seconds; the stack ends those that came up."""

    def start(target: Any) -> None:
        target.__enter__()
        stack.push(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(start, targets))


def generators(settings: Settings) -> list[Server]:
    """Return nginx as wide as the widest servd: what wrk itself can take; none without nginx."""
    return [nginx(settings, max(settings.frontends))] if find_nginx() else []


def rows_of(points: Sequence[Point], pairs: Sequence[Pair]) -> Table:
    """Return a row for each number of connections and each pair."""
    rows = []
    for connections in sorted({point.connections for point in points}):
        some = [point for point in points if point.connections == connections]
        first = by_round(some, pairs[0].names[0])
        rows += [[str(connections), *row_of(some, pair, first)] for pair in pairs]
    return rows


def row_of(points: Sequence[Point], pair: Pair, first: dict[int, Point]) -> list[str]:
    """Return the cells of a pair: medians, and the medians of each round's ratios.

    What disturbs the machine for a while disturbs both of a round.
    """
    mine, other = (by_round(points, name) for name in pair.names)
    mine_row, other_row = (medians(each.values())[0] for each in (mine, other))
    return [
        *(str(pair.frontends), str(pair.replicas)),
        *(*figures(mine_row), f"{mine_row['default_share']:.2%}"),
        *(str(pair.workers), *figures(other_row)),
        str(mine_row["faults"] + other_row["faults"]),
        *(ratio(mine, other), ratio(mine, first)),
    ]


def by_round(points: Sequence[Point], server: str) -> dict[int, Point]:
    """Return a server's points by their round, their rate that of answers in time.

    A default is sooner made than an answer: who is late would look faster.
    """
    return {
        point.round: replace(point, rate=point.rate * (1 - point.default_share))
        for point in points
        if point.server == server
    }


def figures(row: dict[str, Any]) -> list[str]:
    """Return the cells that both servers have."""
    times = (f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms"))
    return [f"{row['rate']:,.0f}", *times, f"{row['cpu_us']:.1f}"]


def ratio(mine: dict[int, Point], other: dict[int, Point]) -> str:
    """Return the median of the rounds' ratios of rates."""
    ratios = [point.rate / max(1, other[number].rate) for number, point in mine.items()]
    return f"{median(ratios):.2f}x"


def bound_of(points: Sequence[Point], settings: Settings) -> str:
    """Return a sentence of what the load generator took from a server that does nothing."""
    rows = medians(point for point in points if point.server == "nginx")
    if not rows:
        return "nginx, which shows what the load generator takes, was not there."
    rates = ", ".join(f"{row['rate']:,.0f} a second at {row['connections']}" for row in rows)
    return (
        f"nginx with {max(settings.frontends)} workers, answering a constant to {settings.threads}"
        f" threads of wrk: {rates} connections. {settings.carried}"
    )


def results_of(points: Sequence[Point], settings: Settings) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "machine": describe_machine(settings),
        "settings": {
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "threads": settings.threads,
            "frontends": settings.frontends,
        },
        "medians": medians(points),
        "points": [asdict(point) for point in points],
    }

"""`python -m benchmarks compare --against DIR`: this checkout's servd beside another one's.

Both run at the same time and are loaded in turn, so what disturbs the machine disturbs both of a
pair; the median of the pairs' ratios is shown. A change that nobody asked to slow queries down
stays at 1.00x within the noise, which the lowest and the highest pair show.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from benchmarks.check import CHECK_SLO_MS, check_answers
from benchmarks.closed_loop import closed_rounds, warm_up
from benchmarks.daemon import HERE_TREE, Daemon, Tree
from benchmarks.points import Point
from benchmarks.report import markdown, print_progress, write_json
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS, Workload


def run_comparison(settings: Settings, before: Tree) -> str:
    """Return the rates of both and their ratios as Markdown; all points are kept as JSON."""
    rows = [["workload", "conn", "before /s", "now /s", "now is", "pairs", "CPU is", "p99 is"]]
    kept = []
    for key in settings.workloads:
        points = measure_both(WORKLOADS[key], settings, before)
        kept += [(p.workload, p.server, p.connections, p.rate, p.cpu_us, p.p99_ms) for p in points]
        for connections in settings.connections:
            row = compared([p for p in points if p.connections == connections], before.name)
            rows.append([key, str(connections), *row])
            print_progress(" ".join(rows[-1]))
    write_json(settings.out / "comparison.json", {"points": kept})
    return f"{settings.carried}\n\n{markdown(rows)}"


def measure_both(workload: Workload, settings: Settings, before: Tree) -> list[Point]:
    """Return the closed loop's points of both daemons, every answer of which was checked first."""
    with ExitStack() as stack:
        daemons = [
            stack.enter_context(Daemon(settings, workload.cache, tree=tree))
            for tree in (HERE_TREE, before)
        ]
        for daemon in daemons:
            daemon.deploy(workload, slo_ms=CHECK_SLO_MS)
            check_answers(daemon, workload, settings)
        warm_up(daemons, workload, settings)
        return list(closed_rounds(daemons, workload, settings))


def compared(points: Sequence[Point], before: str) -> list[str]:
    """Return the cells of one row: medians of both, ratios of the pairs."""
    pairs: dict[int, dict[bool, Point]] = defaultdict(dict)
    for point in points:
        pairs[point.round][point.server == before] = point
    both = list(pairs.values())
    ratios = sorted(pair[False].rate / pair[True].rate for pair in both)
    return [
        f"{median(pair[True].rate for pair in both):,.0f}",
        f"{median(pair[False].rate for pair in both):,.0f}",
        f"{median(ratios):.3f}x",
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
        f"{median(pair[False].cpu_us / pair[True].cpu_us for pair in both):.2f}x",
        f"{median(pair[False].p99_ms / pair[True].p99_ms for pair in both):.2f}x",
    ]

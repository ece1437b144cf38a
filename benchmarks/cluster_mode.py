"""`python -m benchmarks cluster`: what a query costs in processor time behind two front ends.

Two front ends share two replicas, on TLS streams and on ZeroMQ, with the keys of an export; beside
them a daemon with two replicas on unix streams. Loads come in turns, so that what disturbs the
machine disturbs all, and ratios are of the same round.
"""

import re
import shutil
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from benchmarks.check import CHECK_SLO_MS, check_answers
from benchmarks.daemon import Daemon
from benchmarks.front_end_mode import Scheme, published, replica_command, wait_until_ready, write
from benchmarks.loadgen import Load, faults_of, run_load
from benchmarks.processes import cpu_s
from benchmarks.report import markdown, print_progress, write_json
from benchmarks.servers import Server, ServerError, free_port
from benchmarks.settings import ROOT, Settings
from benchmarks.workloads import WORKLOADS

FRONT_ENDS = 2
ADDRESSES = ("127.0.0.2", "127.0.0.3")
"""Of the replicas, one each."""

LOADS = (
    Load(32, rate=2_000.0, slo_ms=CHECK_SLO_MS),
    Load(32, rate=5_000.0, slo_ms=CHECK_SLO_MS),
    Load(32, slo_ms=CHECK_SLO_MS),
)
"""Over all front ends; the last one as fast as answers come."""

_NAMES: dict[Scheme, str] = {"tls": "cluster, TLS", "tcp": "cluster, ZeroMQ"}
_TOTALS = re.compile(r"^servd_version_(predictions|batches)_total\{.*\} ([0-9.e+]+)$", re.MULTILINE)


class Side(Protocol):
    """What is put under load: one process that answers, or several."""

    name: str
    replica_pids: list[int]
    doors: Sequence[Server | Daemon]


@dataclass
class Cluster:
    """Front ends and the replicas that they share."""

    name: str
    doors: Sequence[Server]
    replica_pids: list[int]


class PairedDaemon(Daemon):
    """A daemon with two replicas."""

    @property
    def doors(self) -> Sequence[Daemon]:
        """Itself: it has one port."""
        return [self]

    @property
    def replica_pids(self) -> list[int]:
        """The processes that compute."""
        return [row["pid"] for row in self.replicas()]


@dataclass(frozen=True, slots=True)
class Cost:
    """What came of a load: times a query in microseconds, and how many went in a batch."""

    answers_us: float
    replicas_us: float
    p50_ms: float
    batch: float
    rate: float

    @property
    def both_us(self) -> float:
        """All processor time of a query."""
        return self.answers_us + self.replicas_us


def run_cluster_mode(settings: Settings) -> str:
    """Return costs and ratios as Markdown; the figures are kept as JSON."""
    workload = WORKLOADS["W1"]
    with ExitStack() as stack:
        daemon = stack.enter_context(PairedDaemon(settings))
        daemon.deploy(workload, "--replicas", str(len(ADDRESSES)), slo_ms=CHECK_SLO_MS)
        bundle = next((daemon.data_dir / "bundles").glob("*/model.json")).parent
        sides: list[Any] = [daemon]
        sides += [stack.enter_context(cluster_on(bundle, each, settings)) for each in _NAMES]
        for side, _ in product(sides, range(2)):
            for door in side.doors:
                check_answers(door, workload, settings)
        found: dict[tuple[str, str], list[Cost]] = {}
        for number in range(settings.rounds):
            first = number % len(sides)
            for load, side in product(LOADS, (*sides[first:], *sides[:first])):
                timed = replace(load, seconds=settings.seconds)
                found.setdefault((_at(load), side.name), []).append(cost(side, timed, settings))
    write_json(settings.out / "cluster.json", _as_json(found))
    return markdown(rows_of(found, daemon.name))


def _as_json(found: dict[tuple[str, str], list[Cost]]) -> dict[str, Any]:
    return {
        f"{at}: {name}": [[c.answers_us, c.replicas_us, c.p50_ms, c.batch, c.rate] for c in costs]
        for (at, name), costs in found.items()
    }


def _at(load: Load) -> str:
    return f"{load.rate:,.0f}/s" if load.rate else f"{load.connections} in flight"


def rows_of(found: dict[tuple[str, str], list[Cost]], base: str) -> list[list[str]]:
    """Return a table of medians; ratios are of the same round's daemon."""
    heads = ["", "a batch", "answers, µs", "replicas, µs", "both, µs"]
    rows = [[*heads, "beside the daemon", "p50, ms", "beyond the daemon, ms"]]
    for (at, name), costs in found.items():
        pairs = [*zip(costs, found[at, base], strict=True)]
        figures = [
            statistics.median(values)
            for values in zip(
                *((c.batch, c.answers_us, c.replicas_us, c.both_us) for c in costs), strict=True
            )
        ]
        ratio = statistics.median(mine.both_us / other.both_us for mine, other in pairs)
        beyond = statistics.median(mine.p50_ms - other.p50_ms for mine, other in pairs)
        p50 = statistics.median(c.p50_ms for c in costs)
        row = [f"{at}: {name}", f"{figures[0]:.1f}", *(f"{value:.0f}" for value in figures[1:])]
        rows.append([*row, f"{ratio:.2f}x", f"{p50:.2f}", f"{beyond:+.2f}"])
        print_progress(" ".join(rows[-1]))
    return rows


def cost(side: Side, load: Load, settings: Settings) -> Cost:
    """Load all doors of a side at the same time, each with its share, and return what it cost.

    Raises:
        ServerError: not every query was answered rightly.
    """
    doors, pids = side.doors, [pid for door in side.doors for pid in door.pids]
    replica_pids = side.replica_pids
    share = replace(load, connections=load.connections // len(doors), rate=load.rate / len(doors))
    before = cpu_s(pids), cpu_s(replica_pids), totals(doors)
    with ThreadPoolExecutor(len(doors)) as pool:
        results = [*pool.map(lambda door: run_load(door, WORKLOADS["W1"], settings, share), doors)]
    after = cpu_s(pids), cpu_s(replica_pids), totals(doors)
    faults = sum(map(faults_of, results))
    if faults:
        raise ServerError(f"{side.name}: {faults} queries had no right answer")
    answered = sum(result["answered"] for result in results)
    queries, batches = (now - then for now, then in zip(after[2], before[2], strict=True))
    return Cost(
        answers_us=(after[0] - before[0]) / answered * 1e6,
        replicas_us=(after[1] - before[1]) / answered * 1e6,
        p50_ms=statistics.mean(result["latency_ms"]["p50"] for result in results),
        batch=queries / max(1, batches),
        rate=sum(result["rate"] for result in results),
    )


def totals(doors: Sequence[Server | Daemon]) -> tuple[float, float]:
    """Return how many queries were computed, and in how many batches."""
    sums = {"predictions": 0.0, "batches": 0.0}
    for door in doors:
        url = f"http://127.0.0.1:{door.port}/metrics"
        request = urllib.request.Request(url, headers={"Accept": "text/plain"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            for name, value in _TOTALS.findall(answer.read().decode()):
                sums[name] += float(value)
    return sums["predictions"], sums["batches"]


@contextmanager
def cluster_on(bundle: Path, scheme: Scheme, settings: Settings) -> Iterator[Cluster]:
    """Yield two front ends over two replicas that listen there with keys."""
    folder = settings.out / f"cluster-{scheme}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    port = free_port()
    keys = write(folder, published(port, scheme), scheme)
    with ExitStack() as stack:
        pids = []
        for address in ADDRESSES:
            command = replica_command(bundle, f"{scheme}://{address}:{port}", keys)
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
            stack.enter_context(process)
            stack.callback(process.kill)
            pids.append(process.pid)
        doors = []
        for number in range(FRONT_ENDS):
            door = front_end(folder, keys, f"{_NAMES[scheme]} {number}")
            doors.append(stack.enter_context(door))
            wait_until_ready(door.port)
        yield Cluster(_NAMES[scheme], doors, pids)


def front_end(folder: Path, keys: str, name: str) -> Server:
    """Return a front end that finds the replicas at `ADDRESSES`."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "benchmarks.baselines.named_front_end", "frontend"),
        *("--registry", str(folder), keys),
        *("--bind", "127.0.0.1", "--port", str(port), "--cache-size", "0"),
    ]
    environment = {"BENCH_ADDRESSES": ",".join(ADDRESSES)}
    return Server(name, command, port, environment, folder / "log")

"""`python -m benchmarks gpu`: a network on a GPU, batched by servd and one by one by FastAPI.

All servers run at once, share the GPU and are loaded in turn. What an answer costs is the time of
all processes of a server, of servd its replicas too, as FastAPI has the model in its own.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.check import check_answers
from benchmarks.closed_loop import closed_rounds, warm_up
from benchmarks.environment import MissingToolError, inputs_folder, run_in_environment
from benchmarks.machine import describe_machine
from benchmarks.many_mode import Wide, by_round, ratio, start_all
from benchmarks.points import Point, medians
from benchmarks.report import Table, machine_text, markdown, print_progress, write_json
from benchmarks.servers import fastapi
from benchmarks.settings import Settings
from benchmarks.suite import describe
from benchmarks.workloads import ON_GPU
from benchmarks.wrk import Target

HEADS = [
    *("conn", "server", "answers/s", "beside fastapi", "p50 ms", "p99 ms", "µs CPU"),
    *("mean batch", "late", "faults"),
]
WIDTH = 4
"""Front ends of the wide servd, and workers of the wide FastAPI, each with the network."""

SLO_MS = 1_000
"""Without batches 256 queries wait for half a second, and are to be counted."""

ASK = """
import json, numpy, torch
has = torch.cuda.is_available()
device = torch.cuda.get_device_name(0) if has else ""
print(json.dumps({"device": device, "torch": torch.__version__}))
"""

Batches = Mapping[tuple[str, int], Sequence[float]]
"""The mean batch in each round, by server and connections."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """What computes."""

    device: str
    torch: str
    """The version of it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A way to run servd."""

    name: str
    frontends: int
    options: tuple[str, ...]
    """Of `servd deploy`."""


TRIALS = (
    Trial("servd", 1, ("--replicas", "1")),
    Trial(f"servd x{WIDTH}", WIDTH, ("--replicas", "1")),
    Trial(f"servd x{WIDTH}, 2 replicas", WIDTH, ("--replicas", "2")),
    Trial("servd, no batching", 1, ("--replicas", "1", "--max-batch", "1")),
)


def ask_gpu(python: Path) -> Gpu:
    """Return what an environment computes with; asked in a process that keeps nothing of a GPU.

    Raises:
        MissingToolError: it has no torch, or torch has no GPU.
    """
    done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=False)
    return gpu_of(done, python)


def gpu_of(done: subprocess.CompletedProcess[str], python: Path) -> Gpu:
    """Return what the process said; raises as ask_gpu does."""
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise MissingToolError(
            f"gpu needs torch and numpy where {python} finds them ({reason}): install them into"
            " the environment of servd, over which that of the baselines lies"
        )
    found = Gpu(**json.loads(done.stdout.splitlines()[-1]))
    if not found.device:
        raise MissingToolError(
            f"gpu needs an NVIDIA GPU with its driver, and a torch that was built for CUDA: torch"
            f" {found.torch} of {python} finds no CUDA device"
        )
    return found


def run_gpu_mode(settings: Settings) -> str:
    """Return the table as Markdown; the figures are kept as JSON."""
    gpu = ask_gpu(settings.python)  # which may be another one than servd's
    run_in_environment(settings.python, "benchmarks.gpu_inputs", str(inputs_folder(settings.work)))
    points: list[Point] = []
    batches: dict[tuple[str, int], list[float]] = {}
    try:
        for point, batch in measure(settings):
            print_progress(describe(point))
            points.append(point)
            if batch is not None:
                batches.setdefault((point.server, point.connections), []).append(batch)
    finally:  # what takes long may be ended, and keeps what it has
        results = results_of(points, batches, gpu, settings)
        write_json(settings.out / "gpu.json", results)
    table = markdown([HEADS, *rows_of(points, batches)])
    text = f"{machine_text(results)}\nThe GPU: {gpu.device}, with torch {gpu.torch}.\n\n{table}"
    (settings.out / "gpu.md").write_text(text, "utf-8")
    return text


def measure(settings: Settings) -> Iterator[tuple[Point, float | None]]:
    """Yield points of all servers, whose answers were checked first; servd's with its batch."""
    daemons: dict[str, Wide] = {}
    for trial in TRIALS:
        daemon = Wide(settings, ON_GPU, trial.frontends, trial.options)
        daemon.name = trial.name
        daemons[trial.name] = daemon
    others = [fastapi(ON_GPU, settings, workers) for workers in (1, WIDTH)]
    targets: list[Target] = [*daemons.values(), *others]
    with ExitStack() as stack:
        start_all(targets, stack)
        for target in targets:
            compared = check_answers(target, ON_GPU, settings)
            print_progress(f"{ON_GPU.key} {target.name}: {compared} answers are right")
        for daemon in daemons.values():
            daemon.deploy(ON_GPU, slo_ms=SLO_MS)
        warm_up(targets, ON_GPU, settings)
        for point in closed_rounds(targets, ON_GPU, settings):
            found = daemons.get(point.server)
            yield point, None if found is None else mean_batch(found.replicas())


def mean_batch(replicas: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean batch of a server's replicas, right after they were loaded."""
    return mean(replica["mean_batch"] or 0.0 for replica in replicas)


def rows_of(points: Sequence[Point], batches: Batches) -> Table:
    """Return a row for each number of connections and each server."""
    servers = list(dict.fromkeys(point.server for point in points))
    rows = []
    for connections in sorted({point.connections for point in points}):
        some = [point for point in points if point.connections == connections]
        base = by_round(some, "fastapi")
        for server in servers:
            batch = batches.get((server, connections))
            rows.append([str(connections), server, *cells_of(by_round(some, server), base, batch)])
    return rows


def cells_of(
    mine: dict[int, Point], base: dict[int, Point], batch: Sequence[float] | None
) -> list[str]:
    """Return a server's figures: medians, and the median of each round's ratios."""
    row = medians(mine.values())[0]
    return [
        *(f"{row['rate']:,.0f}", ratio(mine, base)),
        *(f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['cpu_us']:.0f}"),
        "" if batch is None else f"{median(batch):.1f}",
        *(f"{row['default_share']:.2%}", str(row["faults"])),
    ]


def results_of(
    points: Sequence[Point], batches: Batches, gpu: Gpu, settings: Settings
) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "machine": describe_machine(settings) | asdict(gpu),
        "settings": {
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "threads": settings.threads,
        },
        "medians": medians(points),
        "mean_batch": {f"{name} at {count}": each for (name, count), each in batches.items()},
        "points": [asdict(point) for point in points],
    }

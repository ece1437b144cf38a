"""`python -m benchmarks instructions`: instructions of the daemon for one query, by callgrind.

Repeatable on a busy machine and on one that hides its counters. Counts user space only; the daemon
runs some fifty times slower, so figures of time mean nothing here.
"""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.daemon import HERE_TREE, Daemon, Tree
from benchmarks.environment import need
from benchmarks.loadgen import Load, run_load
from benchmarks.report import markdown, print_progress, write_json
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS

QUERIES = 4_000
SLO_MS = 60_000
START_TIMEOUT_S = 180.0


class CountedDaemon(Daemon):
    """A daemon in the foreground of callgrind, its replicas outside of it."""

    process: subprocess.Popen[bytes]

    def start(self) -> dict[str, Any]:
        """Start the daemon and return what daemon.json says once it answers."""
        out = self.settings.out / "callgrind.out"
        command = [
            *(need("valgrind", "valgrind"), "--tool=callgrind", "--trace-children=no"),
            *(f"--callgrind-out-file={out}", str(self.tree.python), "-m", "servd"),
            *("--data-dir", str(self.data_dir), "run", *self.options),
        ]
        log = (self.settings.out / "callgrind.log").open("wb")
        self.process = subprocess.Popen(command, cwd=self.tree.root, stdout=log, stderr=log)
        log.close()
        return wait_for_info(self.data_dir / "daemon.json", self.process)


def wait_for_info(path: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the daemon's addresses once it has written them.

    Raises:
        TimeoutError: it did not, or ended.
    """
    limit = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < limit and process.poll() is None:
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            time.sleep(0.2)
    raise TimeoutError("the daemon did not start under callgrind; see callgrind.log")


def run_instructions(settings: Settings, before: Tree | None) -> str:
    """Return and keep instructions a query of each workload, at each number of connections.

    With `before`, another checkout, the same of it and the ratio.
    """
    figures = count_all(settings, HERE_TREE)
    head = ["workload and connections", "instructions a query"]
    rows = [[what, f"{each:,}"] for what, each in figures.items()]
    if before is not None:
        old = count_all(settings, before)
        head += ["before", "ratio"]
        rows = [
            [*row, f"{old[what]:,}", f"{figures[what] / old[what]:.3f}x"]
            for row, what in zip(rows, figures, strict=True)
        ]
    write_json(settings.out / "instructions.json", figures)
    return f"{settings.carried}\n\n{markdown([head, *rows])}"


def count_all(settings: Settings, tree: Tree) -> dict[str, int]:
    """Return the instructions a query of one checkout's daemon by workload and connections."""
    figures = {}
    for key in settings.workloads:
        workload = WORKLOADS[key]
        with CountedDaemon(settings, workload.cache, tree=tree) as daemon:
            daemon.deploy(workload, slo_ms=SLO_MS)
            run_load(daemon, workload, settings, Load(32, count=1_000))
            for connections in settings.connections:
                count = count_instructions(daemon, settings, key, connections)
                each = count / (QUERIES + connections)  # the generator warms up each connection
                figures[f"{key} at {connections}"] = round(each)
                print_progress(
                    f"{tree.name}: {key} at {connections}: {each:,.0f} instructions a query"
                )
    return figures


def count_instructions(daemon: Daemon, settings: Settings, key: str, connections: int) -> int:
    """Return the instructions that the daemon ran for a number of queries."""
    control(daemon.pid, "--zero")
    run_load(daemon, WORKLOADS[key], settings, Load(connections, count=QUERIES))
    before = set(settings.out.glob("callgrind.out.*"))
    control(daemon.pid, "--dump")
    (dump,) = set(settings.out.glob("callgrind.out.*")) - before
    count = total_of(dump)
    dump.unlink()
    return count


def control(pid: int, what: str) -> None:
    """Tell callgrind to do something."""
    command = [need("callgrind_control", "valgrind"), what, str(pid)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def total_of(dump: Path) -> int:
    """Return the instructions that a dump adds up to."""
    for line in dump.read_text(errors="replace").splitlines():
        if line.startswith(("totals:", "summary:")):
            return int(line.split()[1])
    raise ValueError(f"{dump} has no total")

"""`python -m benchmarks soak`: does memory stay flat over millions of distinct queries?"""

import subprocess
import time

from benchmarks.daemon import Daemon
from benchmarks.environment import inputs_folder
from benchmarks.loadgen import Load, generator_command
from benchmarks.processes import memory_mib
from benchmarks.report import write_json
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS

SAMPLE_S = 1.0
CONNECTIONS = 64
CACHE = "32MiB"
SETTLED_SHARE = 0.2
"""Of the run, after which the cache's bound must have been reached and memory be flat."""

ALLOWED_GROWTH_MIB = 8.0


def run_soak(settings: Settings, queries: int) -> tuple[str, bool]:
    """Return a text on the daemon's memory, and whether it grew after it had settled."""
    workload = WORKLOADS["W1"]
    with Daemon(settings, CACHE) as daemon:
        daemon.deploy(workload)
        unique = inputs_folder(settings.work) / "unique.bodies"
        load = Load(CONNECTIONS, count=queries, bodies=unique)
        began_mib = memory_mib(daemon.pid)
        command = generator_command(daemon, workload, settings, load)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
            samples = []
            while generator.poll() is None:
                samples.append(memory_mib(daemon.pid))
                time.sleep(SAMPLE_S)
            report = generator.stdout.read()
    print(report.strip())
    return judge(samples, began_mib, settings, queries)


def judge(
    samples: list[float], began_mib: float, settings: Settings, queries: int
) -> tuple[str, bool]:
    """Return ten samples over the run as a text, and whether memory grew."""
    step = max(1, len(samples) // 10)
    settled = samples[int(len(samples) * SETTLED_SHARE) :] or samples
    half = len(settled) // 2
    growth = max(settled[half:]) - max(settled[: half or 1])
    figures = {"idle_mib": began_mib, "samples_mib": samples, "growth_mib": growth}
    write_json(settings.out / "soak.json", {"queries": queries, "cache": CACHE, **figures})
    text = (
        f"The daemon's memory in MiB, cache of {CACHE}, {queries:,} distinct queries: idle"
        f" {began_mib:.1f}; then {', '.join(f'{mib:.1f}' for mib in samples[::step])}."
        f" Growth from the first to the second half of the settled run: {growth:+.1f} MiB."
    )
    return text, growth > ALLOWED_GROWTH_MIB

"""The paper's experiments as data. Used by paper.py."""

import subprocess
import sys
from dataclasses import dataclass

from benchmarks.workloads import WORKLOADS


@dataclass(frozen=True, slots=True)
class Setting:
    """One bar of a figure: how servd is started and the model deployed."""

    label: str
    options: tuple[str, ...] = ()
    cache: str = "0"
    bodies: str = ""
    """A file of bodies in place of the workload's."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One figure. Closed loop with `connections`, or open loop where there is a `rate`."""

    title: str
    about: str
    workload: str
    settings: tuple[Setting, ...]
    connections: int = 256
    rate: float = 0
    slo_ms: float = 100
    needs_controllers: bool = False


LOOSE_SLO_MS = 1000
"""So that what is slow without batches still answers and shows its rate."""

NO_BATCHING = Setting("no batching", ("--max-batch", "1"))
ADAPTIVE = Setting("adaptive")


def fixed(size: int) -> Setting:
    """Return the setting of a fixed largest batch."""
    return Setting(f"at most {size}", ("--max-batch", str(size)))


def batching(key: str) -> Experiment:
    """Figure 4 for one model."""
    title = WORKLOADS[key].title
    return Experiment(
        f"Batching, {title}",
        "Closed loop, 256 connections (paper: figure 4).",
        key,
        (NO_BATCHING, ADAPTIVE),
        slo_ms=LOOSE_SLO_MS,
    )


def waiting(milliseconds: int) -> Setting:
    """Return the setting of delayed batching."""
    return Setting(f"wait {milliseconds} ms", ("--batch-wait", f"{milliseconds}ms"))


def controller(name: str) -> Setting:
    """Return the setting of a batch size controller."""
    return Setting(name, ("--batching", name))


def has_controllers() -> bool:
    """Return whether this servd lets a deployment choose the controller."""
    command = [sys.executable, "-m", "servd", "deploy", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "--batching" in done.stdout


EXPERIMENTS = (
    *(batching(key) for key in ("W1", "W2", "W3", "W4", "W5")),
    Experiment(
        "Fixed sizes, linear SVM",
        "Closed loop, 256 connections: the largest batch is given, or adapts.",
        "W5",
        (fixed(1), fixed(4), fixed(16), fixed(64), fixed(256), ADAPTIVE),
        slo_ms=LOOSE_SLO_MS,
    ),
    Experiment(
        "AIMD and quantile regression",
        "Closed loop, 256 connections, SLO 20 ms (paper: figure 4).",
        "W5",
        (controller("aimd"), controller("quantile")),
        slo_ms=20,
        needs_controllers=True,
    ),
    Experiment(
        "Delayed batching, linear SVM",
        "Open loop, 10,000 queries a second offered, SLO 20 ms (paper: figure 5).",
        "W5",
        (waiting(0), waiting(1), waiting(2), waiting(4)),
        connections=1024,
        rate=10_000,
        slo_ms=20,
    ),
    Experiment(
        "Cache, sum of 3",
        "Closed loop, 256 connections: every query distinct, then always the same one.",
        "W1",
        (
            Setting("off, distinct", bodies="unique.bodies"),
            Setting("on, distinct", cache="32MiB", bodies="unique.bodies"),
            Setting("off, same", bodies="W6.bodies"),
            Setting("on, same", cache="32MiB", bodies="W6.bodies"),
        ),
    ),
    *(
        Experiment(
            f"Replicas, {WORKLOADS[key].title}",
            "Closed loop, 256 connections (paper: figure 6, there on one GPU each).",
            key,
            (Setting("1 replica"), Setting("2 replicas", ("--replicas", "2"))),
            slo_ms=LOOSE_SLO_MS,
        )
        for key in ("W3", "W5")
    ),
)

"""A measurement and the median of several. Used by everything that measures and reports."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """One timed run of one server."""

    workload: str
    server: str
    loop: str
    """`closed`, or `open 50 %` and the like."""

    connections: int
    round: int
    rate: float
    """Answers a second."""

    p50_ms: float
    p99_ms: float
    faults: int
    """Statuses other than 200, broken connections, wrong outputs."""

    cpu_us: float
    """Of the server for each answer; of servd the daemon without its replicas."""

    offered: float = 0.0
    goodput: float = 0.0
    """Right answers a second within the latency objective that are not defaults."""

    default_share: float = 0.0
    default_p99_ms: float = 0.0

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What is measured repeatedly."""
        return (self.workload, self.server, self.loop, self.connections)


def medians(points: Iterable[Point]) -> list[dict[str, Any]]:
    """Return one row for each kind of point: the median of every figure, the sum of faults."""
    groups: dict[tuple[str, str, str, int], list[Point]] = {}
    for point in points:
        groups.setdefault(point.key, []).append(point)
    return [_median(group) for group in groups.values()]


def _median(group: list[Point]) -> dict[str, Any]:
    rows = [asdict(point) for point in group]
    result = {
        name: median(row[name] for row in rows) if isinstance(value, float) else value
        for name, value in rows[0].items()
    }
    rates = [point.rate for point in group]
    result["round"] = len(group)
    result["faults"] = sum(point.faults for point in group)
    result["rate_low"], result["rate_high"] = min(rates), max(rates)
    return result

"""The ratios that servd promises, against what was measured in the same run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Rows = dict[tuple[str, str, str, int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise."""

    what: str
    wanted: str
    measured: float
    is_met: bool


RATIOS = (
    # workload, connections, against, at least
    ("W1", 256, "ceiling", 0.70),
    ("W1", 32, "ceiling", 0.55),
    ("W1", 1, "fastapi", 0.9),
    ("W1", 32, "fastapi", 7.0),
    ("W1", 256, "fastapi", 9.0),
    ("W2", 1, "fastapi", 1.0),
    ("W2", 32, "fastapi", 6.0),
    ("W2", 256, "fastapi", 15.0),
    ("W3", 1, "fastapi", 1.0),
    ("W3", 32, "fastapi", 9.0),
    ("W3", 256, "fastapi", 20.0),
    ("W4", 32, "fastapi", 4.0),
    ("W4", 256, "fastapi", 8.0),
    ("W5", 32, "fastapi", 6.0),
    ("W5", 256, "fastapi", 10.0),
    ("W6", 32, "ceiling", 0.9),
    ("W6", 256, "ceiling", 0.9),
    ("W7", 32, "fastapi", 4.0),
    ("W7", 256, "fastapi", 10.0),
)


def judge(rows: Sequence[dict[str, Any]]) -> list[Verdict]:
    """Return a verdict for each promise whose figures were measured."""
    found: Rows = {(r["workload"], r["server"], r["loop"], r["connections"]): r for r in rows}
    return [*_ratios(found), *_closed(found), *_open(rows)]


def _ratios(found: Rows) -> Iterator[Verdict]:
    for workload, connections, against, wanted in RATIOS:
        mine = found.get((workload, "servd", "closed", connections))
        other = found.get((workload, against, "closed", connections))
        if mine and other and other["rate"]:
            ratio = mine["rate"] / other["rate"]
            what = f"{workload} at {connections}: rate against {against}"
            yield Verdict(what, f"≥ {wanted:g}x", ratio, ratio >= wanted)


def _closed(found: Rows) -> Iterator[Verdict]:
    mine = found.get(("W1", "servd", "closed", 256))
    other = found.get(("W1", "fastapi", "closed", 256))
    if mine and other and other["p99_ms"]:
        share = mine["p99_ms"] / other["p99_ms"]
        yield Verdict("W1 at 256: p99 against fastapi", "≤ 0.125x", share, share <= 1 / 8)
    if mine:
        used = mine["cpu_us"]
        yield Verdict("W1 at 256: daemon's CPU a query (µs)", "≤ 12", used, used <= 12)


def _open(rows: Sequence[dict[str, Any]]) -> Iterator[Verdict]:
    for row in rows:
        if row["server"] != "servd" or row["workload"] != "W2" or row["loop"] == "closed":
            continue
        for loop, figure, limit, what in OPEN:
            if row["loop"] == loop:
                value = figure(row)
                yield Verdict(f"W2 {loop}: {what}", f"≤ {limit:g}", value, value <= limit)
        if row["loop"] == "open 80 %":
            yield from _against_nginx(row, rows)
        if row["loop"] == "open 150 %":
            share = row["goodput"] / (row["offered"] / 1.5)
            yield Verdict("W2 open 150 %: goodput against the peak", "≥ 0.85", share, share >= 0.85)


OPEN: tuple[tuple[str, Callable[[dict[str, Any]], float], float, str], ...] = (
    ("open 20k", lambda row: row["default_share"] * 100, 0.1, "defaults (%)"),
    ("open 20k", lambda row: row["p50_ms"], 1.0, "p50 (ms)"),
    ("open 80 %", lambda row: row["default_share"] * 100, 1.0, "defaults (%)"),
    ("hang 200 ms", lambda row: row["default_p99_ms"], 22.0, "p99 of defaults (ms)"),
)


def _against_nginx(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Iterator[Verdict]:
    for other in rows:
        is_same = other["workload"] == row["workload"] and other["loop"] == row["loop"]
        if is_same and other["server"] == "nginx" and other["p99_ms"]:
            ratio = row["p99_ms"] / other["p99_ms"]
            yield Verdict("W2 open 80 %: p99 against nginx", "≤ 3x", ratio, ratio <= 3)

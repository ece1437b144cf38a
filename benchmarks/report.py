"""Tables for a person, on stdout and in Markdown."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.workloads import WORKLOADS, Workload

Table = list[list[str]]


def print_progress(text: str) -> None:
    """Say what has just been measured, on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_table(workload: Workload, rows: Sequence[dict[str, Any]]) -> None:
    """Print the medians of one workload."""
    print(f"\n{workload.key} {workload.title}")
    print(aligned(closed_table([row for row in rows if row["workload"] == workload.key])))
    table = open_table([row for row in rows if row["workload"] == workload.key])
    if len(table) > 1:
        print("\n" + aligned(table))
    sys.stdout.flush()


def closed_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the closed loop's figures, each with servd's ratio to it."""
    heads = [
        "conn",
        "server",
        "rate/s",
        "low-high",
        "p50 ms",
        "p99 ms",
        "µs CPU",
        "servd is",
        "defaults",
        "faults",
    ]
    table = [heads]
    closed = [row for row in rows if row["loop"] == "closed"]
    for row in sorted(closed, key=lambda row: row["connections"]):
        mine = next(
            (
                r
                for r in closed
                if r["server"] == "servd" and r["connections"] == row["connections"]
            ),
            row,
        )
        table.append(
            [
                str(row["connections"]),
                row["server"],
                f"{row['rate']:,.0f}",
                f"{row['rate_low'] / 1000:.1f}k-{row['rate_high'] / 1000:.1f}k",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['cpu_us']:.1f}",
                "" if row is mine else f"{mine['rate'] / max(row['rate'], 1):.2f}x",
                f"{row['default_share']:.2%}",
                str(row["faults"]),
            ]
        )
    return table


def open_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the open loop's figures."""
    table = [
        [
            "load",
            "server",
            "offered/s",
            "good/s",
            "defaults",
            "p50 ms",
            "p99 ms",
            "p99 default",
            "faults",
        ]
    ]
    table.extend(
        [
            row["loop"],
            row["server"],
            f"{row['offered']:,.0f}",
            f"{row['goodput']:,.0f}",
            f"{row['default_share']:.2%}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['default_p99_ms']:.2f}",
            str(row["faults"]),
        ]
        for row in rows
        if row["loop"] != "closed"
    )
    return table


def targets_table(targets: Sequence[dict[str, Any]]) -> Table:
    """Return the promises and what was measured."""
    rows = [
        [row["what"], row["wanted"], f"{row['measured']:.2f}", "yes" if row["is_met"] else "NO"]
        for row in targets
    ]
    return [["promise", "wanted", "measured", "met"], *rows]


def aligned(table: Table) -> str:
    """Return a table in columns."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def markdown(table: Table) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in table]
    lines.insert(1, "|" + "---|" * len(table[0]))
    return "\n".join(lines) + "\n"


def suite_markdown(results: dict[str, Any]) -> str:
    """Return the whole report of `make bench`."""
    parts = [machine_text(results), markdown(targets_table(results["targets"]))]
    for workload in WORKLOADS.values():
        rows = [row for row in results["medians"] if row["workload"] == workload.key]
        if rows:
            parts.append(f"### {workload.key}: {workload.title}\n\n{markdown(closed_table(rows))}")
        if any(row["loop"] != "closed" for row in rows):
            parts.append(markdown(open_table(rows)))
    return "\n".join(parts)


def machine_text(results: dict[str, Any]) -> str:
    """Return a sentence about the machine and the run."""
    machine, settings = results["machine"], results["settings"]
    versions = {**machine["packages"], **machine["baselines"]}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"`{machine['command']}`: median of {settings['rounds']} rounds of"
        f" {settings['seconds']:g} s,"
        f" on {machine['cores']} cores ({machine['processor']}), the load generator on the same."
        f" {machine['carrier']}"
        f" Python {machine['python']}, Linux {machine['kernel']}, {listed}.\n"
    )


def write_json(path: Path, results: dict[str, Any]) -> None:
    """Keep the results."""
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")

"""`servd ps`."""

from pathlib import Path
from typing import Any, Final

from servd.cli.output import Output, milliseconds, number, percent, size
from servd.cli.session import Session
from servd.cli.verb import verb
from servd.client import calls

_HEADERS: Final[tuple[str, ...]] = (
    *("APP", "MODEL:VERSION", "REPLICA", "STATE", "PID", "REQ/S"),
    *("P50", "P99", "BATCH", "DEFAULTS", "MEM", "RESTARTS"),
)

_USUAL: Final = "process"
_STATE: Final = _HEADERS.index("STATE")


@verb("ps", examples=("servd ps", "servd ps --json | jq '.[] | select(.state != \"ready\")'"))
def command(session: Session) -> None:
    """List the replicas: state, rates and latencies over the last seconds, memory."""
    replicas = session.client().ask(calls.replicas())
    output = session.output
    if output.is_json:
        output.document(replicas)
        return
    if not replicas:
        output.line("no replicas: servd deploy func.py:function    deploys one")
        return
    _print_table(output, replicas)
    for replica in replicas:
        name = f"{replica['model']}:{replica['version']}"
        if replica.get("last_error"):
            output.line(f"{name} replica {replica['replica']}: {replica['last_error']}")
        elif replica.get("doing"):
            output.line(f"{name} replica {replica['replica']}: {replica['doing']}")
    for text in slow_lines([row for row in replicas if not row.get("last_error")]):
        output.line(text)


def slow_lines(replicas: list[dict[str, Any]]) -> list[str]:
    """Return a line for each replica whose test call took longer than the objective it is under."""
    return [
        f"{row['model']}:{row['version']} replica {row['replica']}: one call took "
        f"{row['test_ms']:.0f} ms when it was tested, the objective of {row['application']} is "
        f"{row['slo_ms']:g} ms (deploy it with --slo)"
        for row in replicas
        if row.get("test_ms") and row.get("slo_ms") and row["test_ms"] > row["slo_ms"]
    ]


def _print_table(output: Output, replicas: list[dict[str, Any]]) -> None:
    headers, rows = _HEADERS, [_row(replica) for replica in replicas]
    runtimes = [replica.get("runtime", _USUAL) for replica in replicas]
    devices = [replica.get("device") or "" for replica in replicas]
    # Where all are processes of servd's own environment, as they mostly are, and nobody asked for
    # devices, a column would only say so.
    environments = [_place(replica.get("environment") or "") for replica in replicas]
    for name, values, is_told in (
        ("ENVIRONMENT", environments, any(environments)),
        ("DEVICE", devices, any(devices)),
        ("RUNTIME", runtimes, any(runtime != _USUAL for runtime in runtimes)),
    ):
        if is_told:
            headers = (*headers[:_STATE], name, *headers[_STATE:])
            rows = [
                (*row[:_STATE], value or "-", *row[_STATE:])
                for row, value in zip(rows, values, strict=True)
            ]
    output.table(headers, rows)


def _place(environment: str) -> str:
    """Return what an environment is called in a table: the last words of its path."""
    path = Path(environment.partition(" (")[0])
    return "/".join(path.parts[-2:]) if path.is_absolute() else str(path) if environment else ""


def _row(replica: dict[str, Any]) -> tuple[str, ...]:
    return (
        replica.get("application") or "-",
        f"{replica['model']}:{replica['version']}",
        str(replica["replica"]),
        replica["state"],
        str(replica.get("pid") or "-"),
        number(replica.get("requests_per_s", 0.0)),
        milliseconds(replica.get("p50_ms")),
        milliseconds(replica.get("p99_ms")),
        number(replica.get("mean_batch")),
        percent(replica.get("default_ratio")),
        size(replica.get("memory_bytes")),
        str(replica.get("restarts", 0)),
    )

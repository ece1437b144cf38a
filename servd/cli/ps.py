"""`servd ps`."""

from typing import Any, Final

from servd.cli.command import verb
from servd.cli.output import milliseconds, number, percent, size
from servd.cli.session import Session, pass_session

_HEADERS: Final = (
    *("APP", "MODEL:VERSION", "REPLICA", "STATE", "PID", "REQ/S"),
    *("P50", "P99", "BATCH", "DEFAULTS", "MEM", "RESTARTS"),
)


@verb("ps", examples=("servd ps", "servd ps --json | jq '.[] | select(.state != \"ready\")'"))
@pass_session
def command(session: Session) -> None:
    """List the replicas: state, rates and latencies over the last seconds, memory."""
    replicas = session.client().get("/replicas")
    output = session.output
    if output.is_json:
        output.document(replicas)
        return
    if not replicas:
        output.line("no replicas: servd deploy func.py:function    deploys one")
        return
    output.table(_HEADERS, [_row(replica) for replica in replicas])
    for replica in replicas:
        if replica.get("last_error") and replica["state"] != "ready":
            name = f"{replica['model']}:{replica['version']}"
            output.line(f"{name} replica {replica['replica']}: {replica['last_error']}")


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

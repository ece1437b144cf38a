"""`servd stop`."""

import time

from servd.cli.session import Session
from servd.cli.values import DURATION
from servd.cli.verb import option, verb
from servd.client import calls
from servd.client.ending import GRACE_S, shut_down


@verb("stop", examples=("servd stop", "servd stop --drain 30s"))
@option(
    "--drain",
    "DURATION",
    "Time for running queries.  [default: 10s]",
    name="drain_s",
    type=DURATION,
)
def command(session: Session, drain_s: float | None) -> None:
    """Stop the daemon and its replicas. Exits with 3 where no daemon runs."""
    client = session.client()
    started = time.monotonic()
    pid = client.ask(calls.status())["pid"]
    limit_s = GRACE_S + (session.config.drain_s if drain_s is None else drain_s)
    shut_down(client, pid, drain_s, limit_s)
    took_s = time.monotonic() - started
    session.output.result(
        {"pid": pid, "stopped": True, "duration_s": round(took_s, 3)},
        f"servd has stopped (pid {pid}, {took_s:.1f} s)",
    )

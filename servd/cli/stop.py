"""`servd stop`."""

import os
import select
import time
from typing import Final

from servd.cli.session import Session
from servd.cli.values import DURATION
from servd.cli.verb import option, verb
from servd.client.admin import AdminClient
from servd.errors import DaemonNotRunningError, ServdError

_GRACE_S: Final = 20.0
"""Time beyond the drain for replicas to be ended and the store to be closed."""
_POLL_S: Final = 0.05


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
    pid = client.get("/status")["pid"]
    limit_s = _GRACE_S + (session.config.drain_s if drain_s is None else drain_s)
    _shut_down(client, pid, drain_s, limit_s)
    took_s = time.monotonic() - started
    session.output.result(
        {"pid": pid, "stopped": True, "duration_s": round(took_s, 3)},
        f"servd has stopped (pid {pid}, {took_s:.1f} s)",
    )


def _shut_down(client: AdminClient, pid: int, drain_s: float | None, limit_s: float) -> None:
    # Opened before the request, so that a process that takes over the number is not waited for.
    handle = _process_handle(pid) if client.address.path is not None else None
    client.post("/shutdown", {"drain_s": drain_s})
    if handle is None:
        is_gone = _wait_for_silence(client, limit_s)
    else:
        try:
            is_gone = bool(select.select([handle], [], [], limit_s)[0])
        finally:
            os.close(handle)
    if not is_gone:
        raise ServdError(
            f"the daemon (pid {pid}) still runs after {limit_s:g} s", hint=f"kill {pid}"
        )


def _process_handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _wait_for_silence(client: AdminClient, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            client.get("/status")
        except DaemonNotRunningError:
            return True
        except ServdError:
            # It answers with an error, or breaks off, while it goes down.
            pass
        time.sleep(_POLL_S)
    return False

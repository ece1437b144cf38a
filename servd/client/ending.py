"""Ends a daemon and waits until it has ended. Used by `servd stop` and by the clients."""

import os
import select
import time
from typing import Final

from servd.client import calls
from servd.client.admin import AdminClient
from servd.errors import DaemonNotRunningError, ServdError

GRACE_S: Final = 20.0
"""Time beyond the drain for replicas to be ended and the store to be closed."""
_POLL_S: Final = 0.05


def shut_down(client: AdminClient, pid: int, drain_s: float | None, limit_s: float) -> None:
    """End the daemon that has this process id; running queries get `drain_s`, None: its own.

    Raises:
        DaemonNotRunningError: none answers.
        ServdError: it still runs after `limit_s`.
    """
    # Opened before the request, so that a process that takes over the number is not waited for.
    handle = _process_handle(pid) if client.address.path is not None else None
    client.ask(calls.shutdown(drain_s))
    if handle is None:
        is_gone = wait_for_silence(client, limit_s)
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


def wait_for_silence(client: AdminClient, limit_s: float) -> bool:
    """Wait until nothing answers; False where something still does after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            client.ask(calls.status())
        except DaemonNotRunningError:
            return True
        except ServdError:
            # It answers with an error, or breaks off, while it goes down.
            pass
        time.sleep(_POLL_S)
    return False

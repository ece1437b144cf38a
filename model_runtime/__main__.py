"""`python -m model_runtime`: one replica process. Launched by servd/launchers or by an image."""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

from model_runtime.admission import KeyFileError, read_replica_keys
from model_runtime.loop import Options, Replica

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run a replica; return the exit status."""
    _die_with_parent()
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return Replica(_options(), lambda: bool(stop)).run()


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m model_runtime", description=__doc__)
    parser.add_argument("--listen", required=True, help="ZeroMQ address to listen at")
    parser.add_argument("--bundle", required=True, type=Path, help="folder with model.json")
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--replica", type=int, default=0)
    parser.add_argument("--max-batch", type=int, default=-1, help="-1: any size")
    parser.add_argument("--orphan-timeout", type=float, help="end after so many silent seconds")
    parser.add_argument("--curve", type=Path, help="folder with replica.secret, frontend.public")
    given = parser.parse_args()
    try:
        keys = read_replica_keys(given.curve) if given.curve else None
    except KeyFileError as error:
        parser.error(str(error))
    return Options(
        listen=given.listen,
        bundle=given.bundle,
        model=given.model,
        version=given.version,
        replica=given.replica,
        max_batch=given.max_batch,
        orphan_timeout_s=given.orphan_timeout,
        keys=keys,
    )


def _die_with_parent() -> None:
    """End with the daemon that launched this replica, however it ends.

    The launcher puts its pid into SERVD_PARENT_PID; without it (in an image) nothing is done.
    """
    parent = os.environ.get("SERVD_PARENT_PID")
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the line above
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())

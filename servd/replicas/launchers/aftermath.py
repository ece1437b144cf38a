"""Ends what models have started when this process is killed; replicas the kernel ends itself.

A shell waits beside, at the end of a pipe. Where that ends without a word it becomes this module,
which ends what the records of this process' replicas name (orphans.py). Used by the composition
roots that start replicas; where the shell was killed too, the next start does it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from servd.logs.log import log
from servd.replicas.launchers.orphans import Orphans
from servd.system.identity import process_id
from servd.system.offspring import PRIVATE, offspring

_MODULE: Final = "servd.replicas.launchers.aftermath"
_WAIT: Final = 'read -r _ || exec "$@"'
_END_S: Final = 5.0


@contextmanager
def aftermath(run_dir: Path) -> Iterator[None]:
    """Have what the replicas recorded in a folder have started ended if this process is killed.

    Process 1 needs none of it: when it is killed, the kernel ends all of its namespace.
    """
    if os.getpid() == 1:
        yield
        return
    reading, writing = os.pipe()
    try:
        shell = _wait_beside(run_dir, reading)
    except OSError as error:
        log.info("a kill of this process would leave what models have started: %s", error)
        shell = None
    finally:
        os.close(reading)
    try:
        yield
    finally:
        with suppress(OSError), os.fdopen(writing, "wb") as pipe:
            pipe.write(b"over\n")
        if shell is not None:
            _await_end(shell)


def _wait_beside(run_dir: Path, reading: int) -> subprocess.Popen[bytes]:
    identity = process_id(os.getpid()) or ""
    program = [sys.executable, "-P", "-m", _MODULE, str(run_dir), identity]
    shell = subprocess.Popen(
        ["/bin/sh", "-c", _WAIT, "servd", *program],
        stdin=reading,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is the daemon's
        cwd="/",
        env={name: value for name, value in os.environ.items() if name not in PRIVATE},
    )
    offspring.own(shell.pid)
    return shell


def _await_end(shell: subprocess.Popen[bytes]) -> None:
    try:
        shell.wait(_END_S)
    except subprocess.TimeoutExpired:
        shell.kill()
        shell.wait()
    offspring.disown(shell.pid)


def main() -> None:
    """End what the replicas of a killed process have left behind; its identity is given."""
    run_dir, identity = sys.argv[1:]
    Orphans(Path(run_dir)).end_all(of=identity)


if __name__ == "__main__":
    main()

"""When a replica that has a limit for silence ends, and when it only stood still."""

import os
import signal
import time

from tests.replica_process import TIMEOUT_S, asking, replica

LIMIT_S = 2.0


def test_a_replica_that_was_stopped_does_not_take_the_others_for_gone(tmp_path):
    """It heard nothing while it was stopped; it answers at once when it goes on."""
    listen = f"ipc://{tmp_path}/r"
    with (
        replica(tmp_path, f"--orphan-timeout={LIMIT_S}", listen=listen) as process,
        asking(listen) as ask,
    ):
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2 * LIMIT_S)  # what is tested is that time passes
        os.kill(process.pid, signal.SIGCONT)
        for _ in range(4):
            assert ask("pid") == process.pid
            time.sleep(LIMIT_S / 6)  # longer than one that ends drains
        # Then it is silent indeed: it drains and ends.
        assert process.wait(TIMEOUT_S) == 0

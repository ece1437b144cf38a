"""A replica as process 1, as in its container: a parent of its own reaps and passes signals on."""

import os
import signal

import psutil

from model_runtime import init
from tests.replica_process import START, TIMEOUT_S, asking, replica

AS_PROCESS_1 = (
    "import os, sys\n"
    "own = ['--user', '--map-root-user'] if os.getuid() else []\n"
    f"python = [sys.executable, '-c', {START!r}, *sys.argv[1:]]\n"
    "os.execvp('unshare', ['unshare', *own, '--pid', '--fork', '--kill-child', *python])\n"
)


def process_1(starter):
    """Return the first process of the namespace."""
    [first] = psutil.Process(starter.pid).children()
    return first


def wait_until(is_true):
    """Poll a condition under the test's timeout."""
    left = TIMEOUT_S * 100
    while not is_true():
        left -= 1
        assert left, "it did not come to that"
        signal.sigtimedwait([], 0.01)


def test_orphans_are_reaped_and_nothing_is_taken_from_the_model(tmp_path):
    """Children of programs that have ended do not stay; the model waits for its own itself."""
    listen = f"ipc://{tmp_path}/r"
    with replica(tmp_path, listen=listen, code=AS_PROCESS_1) as starter:
        with asking(listen) as ask:
            first = process_1(starter)
            for _ in range(3):
                assert ask("orphans") == [4, [1, 4, 9]]
            assert ask("pid") != 1
            wait_until(lambda: [len(c.children()) for c in first.children()] == [0])
        first.terminate()
        assert starter.wait(TIMEOUT_S) == 0


def test_the_end_of_the_replica_is_that_of_its_container(tmp_path):
    """Its exit status is process 1's, as shells have it where a signal ended it."""
    listen = f"ipc://{tmp_path}/r"
    with replica(tmp_path, listen=listen, code=AS_PROCESS_1) as starter:
        with asking(listen):
            [child] = process_1(starter).children()
        os.kill(child.pid, signal.SIGKILL)
        assert starter.wait(TIMEOUT_S) == 128 + signal.SIGKILL


def test_a_failed_load_keeps_its_status(tmp_path):
    """The launcher tells a load that failed by the status 3."""
    listen = f"ipc://{tmp_path}/r"
    wrong = AS_PROCESS_1.replace("*sys.argv[1:]", "*sys.argv[1:], '--bundle=/nowhere'")
    with replica(tmp_path, listen=listen, code=wrong) as starter:
        assert starter.wait(TIMEOUT_S) == 3


def test_any_other_process_is_the_replica_itself():
    """No process is added where somebody else reaps."""
    assert init.stand_in() is None

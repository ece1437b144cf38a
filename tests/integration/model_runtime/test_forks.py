"""Processes forked by a model whose replica listens by ZeroMQ, as in a container."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model_runtime import manifest
from model_runtime.manifest import Manifest
from tests.daemon import free_port
from tests.replica_process import TIMEOUT_S, asking, replica

ONCE = Path(__file__).parents[2] / "models" / "once.py"


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_a_child_has_no_socket_of_the_replica(tmp_path, scheme):
    """Not what listens for front ends or for probers, and no connection that was accepted."""
    listen = f"tcp://127.0.0.1:{free_port()}" if scheme == "tcp" else f"ipc://{tmp_path}/r"
    health = f"--health=127.0.0.1:{free_port()}"
    with replica(tmp_path, health, listen=listen), asking(listen) as ask:
        assert ask("what_a_child_has") == {
            "term": True,
            "int": True,
            "blocked": [],
            "sockets": 0,
            "threads": [],
        }
        assert ask("pool") == [1, 4, 9]


def test_a_replica_is_not_deaf_to_what_its_starter_was_deaf_to(tmp_path):
    """Started with signals ignored and blocked, as under nohup, it ends by them all the same."""
    listen = f"ipc://{tmp_path}/r"
    deaf = (
        "import signal, sys, os\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGCHLD))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'model_runtime', *sys.argv[1:]])\n"
    )
    with replica(tmp_path, listen=listen, code=deaf) as process:
        with asking(listen) as ask:
            assert ask("terminated") == [-signal.SIGTERM] * 4
            assert ask("program") == -signal.SIGINT
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


def test_the_handler_of_a_model_is_called_when_the_replica_has_drained(tmp_path):
    """A handler that would end the process at once waits until everything is answered."""
    listen = f"ipc://{tmp_path}/r"
    with replica(tmp_path, listen=listen) as process:
        with asking(listen) as ask:
            assert set(ask("own_handler")) == {9}
            assert ask("pid") == process.pid
            os.kill(process.pid, signal.SIGINT)  # a terminal's Ctrl-C is not for replicas
            assert ask("pid") == process.pid
        process.terminate()
        assert process.wait(TIMEOUT_S) == 9


_FORKING = """
import sys
from pathlib import Path
from model_runtime import forks, inputs, loaders
forks.in_children(lambda: None)
model = loaders.load(Path(sys.argv[1]))
values = [[sys.argv[2], True], [sys.argv[2], False]]
print(model.predictor.predict(inputs.pack(values, "rows", model.signature)))
"""


@pytest.mark.parametrize("name", ["forks", "aforks"])
def test_a_child_that_returns_from_its_call_is_not_given_the_next_input(tmp_path, name):
    """It ends there; the others of the batch are computed once, in the replica."""
    notes = tmp_path / "notes"
    folder = tmp_path / "bundle"
    (folder / "files").mkdir(parents=True)
    shutil.copy(ONCE, folder / "files")
    made = Manifest(
        loader="python", file="once.py", kind="function", object=name, input_type="auto"
    )
    manifest.write(made, folder)
    done = subprocess.run(
        [sys.executable, "-c", _FORKING, str(folder), str(notes)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert notes.read_text().split() == ["True", "False"]
    assert done.stdout.split("\n") == ["[b'true', b'false']", ""]

"""Processes forked by a model whose replica listens by ZeroMQ, as in a container."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from model_runtime import manifest, protocol
from model_runtime.manifest import Manifest
from tests.daemon import free_port

MODEL = Path(__file__).parents[2] / "models" / "forks.py"
TIMEOUT_S = 20


@contextmanager
def replica(folder, *arguments, listen, code="import model_runtime.__main__ as m; exit(m.main())"):
    """Yield a replica process of the model that forks, started by a small program."""
    bundle = folder / "bundle"
    (bundle / "files").mkdir(parents=True)
    shutil.copy(MODEL, bundle / "files")
    wanted = {"input_type": "any", "example": "pid"}
    manifest.write(
        Manifest(loader="python", file="forks.py", kind="function", object="predict", **wanted),
        bundle,
    )
    options = {"listen": listen, "bundle": bundle, "model": "m", "version": "1"}
    given = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen([sys.executable, "-c", code, *given, *arguments], cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def asking(address):
    """Yield a function that has the replica's model do something and returns what it returns."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, TIMEOUT_S * 1000)
        dealer.connect(address)
        dealer.send(protocol.pack_header([protocol.HELLO, 1, "test"]))

        def receive(kind, state=None):
            while True:
                header, *payload = dealer.recv_multipart()
                header = protocol.unpack_header(header)
                if header[0] == kind and state in (None, header[2]):
                    return header, payload

        def ask(what):
            header = protocol.pack_header([protocol.PREDICT, 1, protocol.ANY, 1])
            dealer.send_multipart([header, json.dumps(what).encode()])
            return json.loads(receive(protocol.RESULT)[1][0])

        ask.info = receive(protocol.STATE, protocol.READY)[0][3]
        yield ask


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

"""A replica in a process of its own, without a daemon, spoken to by ZeroMQ.

Its model starts processes as an input says (tests/models/forks.py).
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from model_runtime import manifest, protocol
from model_runtime.manifest import Manifest

MODEL = Path(__file__).parent / "models" / "forks.py"
TIMEOUT_S = 20
START = "import model_runtime.__main__ as m; exit(m.main())"


@contextmanager
def replica(
    folder: Path, *arguments: str, listen: str, code: str = START
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a replica process, started by a small program."""
    bundle = folder / "bundle"
    (bundle / "files").mkdir(parents=True)
    shutil.copy(MODEL, bundle / "files")
    made = Manifest(
        loader="python",
        file="forks.py",
        kind="function",
        object="predict",
        input_type="any",
        example="pid",
    )
    manifest.write(made, bundle)
    options = {"listen": listen, "bundle": bundle, "model": "m", "version": "1"}
    given = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen([sys.executable, "-c", code, *given, *arguments], cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def asking(address: str) -> Iterator[Callable[[str], Any]]:
    """Yield a function that has the replica's model do something and returns what it returns."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, TIMEOUT_S * 1000)
        dealer.connect(address)
        dealer.send(protocol.pack_header([protocol.HELLO, 1, "test"]))

        def receive(kind: str, state: str | None = None) -> list[bytes]:
            while True:
                header, *payload = dealer.recv_multipart()
                told = protocol.unpack_header(header)
                if told[0] == kind and state in (None, told[2]):
                    return payload

        def ask(what: str) -> Any:
            header = protocol.pack_header([protocol.PREDICT, 1, protocol.ANY, 1])
            dealer.send_multipart([header, json.dumps(what).encode()])
            return json.loads(receive(protocol.RESULT)[0])

        receive(protocol.STATE, protocol.READY)
        yield ask

"""`python -m model_runtime.probe ADDRESS`: asks a replica for its state, as a frontend would.

Run inside a new image by imaging/trial.py; of use by hand too. Prints the state and its info
as one JSON line; the exit status is 0 for ready, 3 for failed and 1 for no answer in time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import zmq

from model_runtime import protocol

ASK_EVERY_MS = 200


def ask(address: str, timeout_s: float) -> tuple[str, dict[str, Any]]:
    """Return the state of a replica, waiting for the end of its load; an empty text for silence.

    Raises:
        ProtocolError: what answers speaks no version of the protocol that is known here.
    """
    end_s = time.monotonic() + timeout_s
    state, info = "", dict[str, Any]()
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(address)
        while time.monotonic() < end_s and state not in (protocol.READY, protocol.FAILED):
            socket.send(protocol.pack_header([protocol.HELLO, protocol.PROTOCOL_VERSION, "probe"]))
            while socket.poll(ASK_EVERY_MS):
                state, info = _read(socket.recv_multipart()[0], state, info)
                if state in (protocol.READY, protocol.FAILED):
                    break
    return state, info


def _read(frame: bytes, state: str, info: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    header = protocol.unpack_header(frame)
    if header[0] != protocol.STATE:
        return state, info
    if len(header) < 4 or header[1] not in protocol.VERSIONS:
        raise protocol.ProtocolError(f"it speaks version {header[1:2]} of the protocol")
    return str(header[2]), dict(header[3])


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m model_runtime.probe", description=__doc__)
    parser.add_argument("address", help="for example tcp://127.0.0.1:7000")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for its load")
    given = parser.parse_args()
    state, info = ask(given.address, given.timeout)
    sys.stdout.write(json.dumps({"state": state, "info": info}) + "\n")
    return {protocol.READY: 0, protocol.FAILED: 3}.get(state, 1)


if __name__ == "__main__":
    sys.exit(main())

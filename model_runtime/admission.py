"""Who may talk to a replica over tcp: only the frontend whose CURVE key it was given.

Used by zmq_listener.py. libzmq asks for each new connection over the protocol of rfc.zeromq.org/27
(ZAP); without somebody who answers it, a CURVE server takes any client.
"""

from __future__ import annotations

import threading
from typing import Any

import zmq

from model_runtime.keys import ReplicaKeys, decoded

ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"servd"
_REMEMBERED = 1000
"""Refused keys of which the log was told; a stranger with ever new keys must not fill it."""


class Admission:
    """Answers libzmq's questions in a thread of its own, until its context ends."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: ReplicaKeys) -> None:
        self._context = context
        self._keys = keys
        self._admitted = decoded(keys.frontend_public)
        self._refused: set[bytes] = set()

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket that is not bound yet a CURVE server that asks this. Called once."""
        asked = self._context.socket(zmq.REP)
        asked.setsockopt(zmq.LINGER, 0)
        asked.bind(ENDPOINT)
        threading.Thread(
            target=self._answer, args=(asked,), name="servd-admission", daemon=True
        ).start()
        socket.curve_server = True
        socket.curve_secretkey = self._keys.replica_secret
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)

    def _answer(self, asked: zmq.Socket[Any]) -> None:
        try:
            while True:
                asked.send_multipart(self._decide(asked.recv_multipart()))
        except zmq.ContextTerminated:
            asked.close()

    def _decide(self, question: list[bytes]) -> list[bytes]:
        """Return the answer to: version, request, domain, address, identity, mechanism, key."""
        request, mechanism, key = question[1], question[5], b"".join(question[6:7])
        is_admitted = mechanism == b"CURVE" and key == self._admitted
        status, text = (b"200", b"OK") if is_admitted else (b"400", b"unknown key")
        if not is_admitted and key not in self._refused and len(self._refused) < _REMEMBERED:
            self._refused.add(key)
            where = question[3].decode("ascii", "replace")
            print(f"a frontend at {where} was refused: its key is unknown", flush=True)  # noqa: T201  # the log is stdout
        return [b"1.0", request, status, text, b"", b""]

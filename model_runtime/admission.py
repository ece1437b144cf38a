"""Who may talk to a replica over tcp: only the frontend whose CURVE key it was given.

Used by connection.py. libzmq asks for each new connection over the protocol of rfc.zeromq.org/27
(ZAP); without somebody who answers it, a CURVE server takes any client.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"servd"
KEY_BYTES = 40
"""Length of a key as Z85 text."""

_REMEMBERED = 1000
"""Refused keys of which the log was told; a stranger with ever new keys must not fill it."""


class KeyFileError(Exception):
    """A key file is missing, or is no key."""


@dataclass(frozen=True, slots=True)
class ReplicaKeys:
    """The replica's own secret key and the public key of the frontends it admits, as Z85."""

    replica_secret: bytes
    frontend_public: bytes


def read_replica_keys(folder: Path) -> ReplicaKeys:
    """Return the keys in the files replica.secret and frontend.public of a folder.

    Raises:
        KeyFileError: a file is missing, or is no key.
    """
    return ReplicaKeys(
        replica_secret=read_key(folder / "replica.secret"),
        frontend_public=read_key(folder / "frontend.public"),
    )


def read_key(path: Path) -> bytes:
    """Return the Z85 text in a key file.

    Raises:
        KeyFileError: it is missing, or is no key.
    """
    try:
        text = path.read_bytes().strip()
        key = z85.decode(text) if len(text) == KEY_BYTES else b""
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError):
        key = b""
    if len(key) != 32:  # the bytes of a Curve25519 key
        raise KeyFileError(f"{path} is no CURVE key: {KEY_BYTES} characters of Z85")
    return text


class Admission:
    """Answers libzmq's questions in a thread of its own, until its context ends."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: ReplicaKeys) -> None:
        self._context = context
        self._keys = keys
        self._admitted = z85.decode(keys.frontend_public)
        self._refused: set[bytes] = set()

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
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

    def _answer(self, asked: "zmq.Socket[Any]") -> None:
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

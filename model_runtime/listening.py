"""Which carrier an address stands for. Used by connection.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_runtime.carriers import (
    STREAM_SCHEME,
    TLS_SCHEME,
    Listener,
    StreamListener,
)
from model_runtime.keys import ReplicaKeys

if TYPE_CHECKING:
    from model_runtime.tls import Identity

    Keys = ReplicaKeys | Identity


def listen(address: str, keys: Keys | None = None) -> Listener:
    """Return the listener of an address; keys are for replicas that other machines can reach.

    Raises:
        OSError: nobody can listen there.
        KeyFileError: there are no keys, and it does not listen without.
    """
    if address.startswith(STREAM_SCHEME):
        return StreamListener(address.removeprefix(STREAM_SCHEME))
    if address.startswith(TLS_SCHEME):
        # Only here: replicas of one machine do without OpenSSL.
        from model_runtime.tls_listener import TlsListener  # noqa: PLC0415

        return TlsListener(address, None if isinstance(keys, ReplicaKeys) else keys)
    from model_runtime.zmq_listener import ZmqListener  # noqa: PLC0415  (nor do they need ZeroMQ)

    return ZmqListener(address, keys if isinstance(keys, ReplicaKeys) else None)

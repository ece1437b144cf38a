"""Both ends of a stream carrier, with what the connecting end told. Used by the carriers' tests."""

import asyncio
import tracemalloc
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_runtime.carriers import STREAM_SCHEME, TLS_SCHEME
from model_runtime.listening import listen
from model_runtime.tls import read_identity
from servd.carriers.carriers import StreamCarrier
from servd.carriers.tls_carrier import TlsCarrier
from tests.daemon import free_port


class Stage:
    """A listener, once `listen` was called, and a carrier, which is not open yet.

    Args:
        address: unix://PATH or tls://HOST:PORT.
        known: folder of the listening end's certificates, on TLS.
        shown: that of the connecting end, where it is another.
    """

    def __init__(self, address: str, known: Path | None = None, shown: Path | None = None) -> None:
        self.address = address
        self.known = known
        self.come = []
        self.ends = []
        self.refusals = []
        self.reconnected = []
        self.listener: Any = None
        shown = shown or known
        self.carrier = self.connect(read_identity(shown, "frontend") if shown else None)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.carrier.close()
        if self.listener is not None:
            self.listener.close()

    def listen(self):
        """Let the replica listen from now on."""
        keys = read_identity(self.known, "replica") if self.known else None
        self.listener = listen(self.address, keys)

    def connect(self, identity=None, on_frames=None):
        """Return a carrier to the listener."""
        on_frames = on_frames or self.come.append

        def on_reconnected():
            self.reconnected.append(1)

        if self.address.startswith(STREAM_SCHEME):
            path = self.address.removeprefix(STREAM_SCHEME)
            return StreamCarrier(path, on_frames, on_reconnected)
        return TlsCarrier(
            self.address,
            identity,
            on_frames,
            on_reconnected=on_reconnected,
            on_end=lambda: self.ends.append(1),
            on_refused=self.refusals.append,
        )

    async def open(self):
        """Let both ends know each other; return the frontend as the listener knows it."""
        self.listen()
        self.carrier.open()
        self.carrier.send(b"hello")
        return (await self.hear())[0]

    async def hear(self):
        """Return the next message and who sent it, without keeping the loop from sending it."""
        while (message := self.listener.receive(is_waiting=False)) is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
        return message

    async def until(self, is_true):
        """Let the listener receive until something is true."""
        while not is_true():
            self.listener.receive(is_waiting=False)
            await asyncio.sleep(0.001)


def tls_stage(known: Path, shown: Path | None = None, host: str = "127.0.0.1") -> Stage:
    """Return a stage on TLS at a free port."""
    return Stage(f"{TLS_SCHEME}{host}:{free_port()}", known, shown)


@contextmanager
def memory_peak():
    """Yield a function that returns the most bytes that were allocated at a time since."""
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()

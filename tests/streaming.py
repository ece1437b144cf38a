"""A replica of tests/models/yields.py in a thread, and a client that reads events as they come."""

import asyncio
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_runtime import manifest, protocol
from model_runtime.loop import Options, Replica
from model_runtime.manifest import Manifest
from model_runtime.signature import EACH, Signature
from model_runtime.tls import read_identity
from servd.carriers.carriers import OnFrames
from servd.carriers.certificates import write_certificates
from servd.carriers.tls_carrier import TlsCarrier
from servd.datatypes import InputType
from servd.engine.dispatcher import Dispatcher
from servd.engine.rpc import ReplicaConnection
from tests.daemon import free_port
from tests.serving import Client, Owner, Serving, post, serving, until

MODEL = Path(__file__).parent / "models" / "yields.py"
TIMEOUT_S = 20
SIGNATURE = Signature(input_type="any", value={"type": "object"}, call=EACH, is_stream=True)
EVENTS = "Accept: text/event-stream"


class Yielding:
    """A replica that yields; `address` is where it listens."""

    def __init__(self, folder: Path, scheme: str, **told: Any) -> None:
        bundle = folder / "bundle"
        (bundle / "files").mkdir(parents=True)
        shutil.copy(MODEL, bundle / "files")
        given = {"kind": "function", "object": "predict", "example": {}} | told
        made = Manifest(loader="python", file=MODEL.name, input_type="any", call=EACH, **given)
        manifest.write(made, bundle)
        self.keys = folder / "keys"
        self.address = f"{scheme}://{folder}/r.sock"
        if scheme == "tls":
            write_certificates(self.keys)
            self.address = f"tls://127.0.0.1:{free_port()}"
        self.stop = threading.Event()
        options = Options(
            listen=self.address,
            bundle=bundle,
            model="model",
            version="1",
            replica=0,
            max_batch=-1,
            orphan_timeout_s=None,
            predict_timeout_s=60.0,
            keys=read_identity(self.keys, "replica") if scheme == "tls" else None,
        )
        self.thread = threading.Thread(target=Replica(options, self.stop.is_set).run, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Tell it to stop."""
        self.stop.set()
        self.thread.join(TIMEOUT_S)


@contextmanager
def yielding(scheme: str = "unix", **told: Any) -> Iterator[Yielding]:
    """Yield a replica; `told` is for its manifest."""
    path, modules = list(sys.path), set(sys.modules)
    interval_s = sys.getswitchinterval()
    with tempfile.TemporaryDirectory(prefix="sv-") as folder:
        replica = Yielding(Path(folder), scheme, **told)
        try:
            yield replica
        finally:
            replica.end()
            sys.setswitchinterval(interval_s)
            sys.path[:] = path
            for name in set(sys.modules) - modules:
                if "/files/" in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]


@asynccontextmanager
async def streaming(
    scheme: str = "unix", *, manifest: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Serving]:
    """Yield a query server whose application `app` is a model that yields."""
    options = {name: settings.pop(name) for name in ("slo_ms", "default") if name in settings}
    idle_s = settings.pop("idle_s", 60.0)
    with yielding(scheme, **(manifest or {})) as replica:
        async with serving(**settings) as served:
            served.engine.stream_idle_s = idle_s
            dispatcher = served.deploy(
                input_type=InputType.ANY,
                signature=SIGNATURE,
                **({"default": None} | options),
            )
            if scheme == "tls":
                await _attach_by_tls(served, replica, dispatcher)
            else:
                await served.attach(replica, dispatcher)  # type: ignore[arg-type]  # as a scripted one
            yield served


async def _attach_by_tls(served: Serving, replica: Yielding, dispatcher: Dispatcher | None) -> None:
    """Connect as a front end on another machine does."""
    assert dispatcher is not None
    owner = Owner()
    identity = read_identity(replica.keys, "frontend")

    def carry(on_frames: OnFrames, on_reconnected: Callable[[], None]) -> TlsCarrier:
        return TlsCarrier(
            replica.address,
            identity,
            on_frames,
            on_reconnected=on_reconnected,
            on_end=lambda: None,
            on_refused=print,
        )

    connection = ReplicaConnection(replica.address, owner, carry, served.engine.clock)
    served._connections.append(connection)
    connection.open()
    await until(lambda: protocol.READY in owner.states)
    dispatcher.attach(connection)


@dataclass
class Heard:
    """An answer of events, as far as it has been read."""

    head: str
    items: list[Any] = field(default_factory=list)
    error: Any = None
    end: Any = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.head.split()[1])


class Listening:
    """Reads an answer of events, in chunks or up to the connection's end."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._is_chunked = True
        self._text = b""

    async def begin(self) -> Heard:
        """Read the head."""
        head = (await self._client.reader.readuntil(b"\r\n\r\n")).decode()
        self._is_chunked = "Transfer-Encoding: chunked" in head
        return Heard(head)

    async def go_on(self, heard: Heard, count: int | None = None) -> Heard:
        """Read that many items more, or to the end."""
        wanted = None if count is None else len(heard.items) + count
        while wanted is None or len(heard.items) < wanted:
            piece = await self._piece()
            if not piece:
                return heard
            *events, self._text = (self._text + piece).split(b"\n\n")
            for event in events:
                _hear(heard, event.decode())
        return heard

    async def _piece(self) -> bytes:
        reader = self._client.reader
        if not self._is_chunked:
            return await reader.read(1 << 16)
        size = int(await reader.readline(), 16)
        return (await reader.readexactly(size + 2))[:-2]


def _hear(heard: Heard, event: str) -> None:
    fields = dict(line.split(": ", 1) for line in event.split("\n") if not line.startswith(":"))
    if not fields:
        return
    data = json.loads(fields["data"])
    if "event" not in fields:
        heard.items.append(data)
    else:
        setattr(heard, fields["event"], data)


def asked(told: dict[str, Any], *lines: str, path: str = "/app/predict") -> bytes:
    """Return a request for events."""
    return post(path, {"input": told}, *(lines or (EVENTS,)))


async def listen(served: Serving, told: dict[str, Any]) -> tuple[Client, Listening, Heard]:
    """Ask for events on a connection of its own, and read the head."""
    client = await served.client()
    client.send(asked(told))
    listening = Listening(client)
    return client, listening, await listening.begin()


async def hear(served: Serving, told: dict[str, Any]) -> Heard:
    """Ask for events and read them all."""
    _, listening, heard = await listen(served, told)
    return await listening.go_on(heard)


async def noted(log: Path, what: str) -> None:
    """Wait for a model to have noted something."""
    while not log.exists() or what not in log.read_text().split():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.005)

"""Stand-ins for what surrounds a replica: processes, connections and routes that tests steer."""

# ruff: noqa: D102 - the methods are those of the seams, described there

import asyncio
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

from model_runtime import bundle as bundles
from model_runtime.manifest import Manifest, write
from servd.datatypes import InputType, ModelVersion
from servd.metrics.counters import Counters
from servd.packing.archive import Packed
from servd.replicas.collaborators import Timings
from servd.replicas.supervisor import Supervisor

WAIT_S = 10
FAST = Timings(backoff_first_s=0.0, report_s=0.0, term_s=WAIT_S, heartbeat_s=3600, max_deaths=3)
GOOD = ("ready",)


class FakeHandle:
    """A process that ends when told to; pid 0 is recorded by nobody."""

    def __init__(self, number):
        self.pid = 2**22 + 1 + number  # above the kernel's largest, so never a real one
        self.address = f"ipc://{number}"
        self.code = asyncio.get_running_loop().create_future()
        self.calls = []
        self.end_reason = ""
        self.device = None
        self.limits = ()
        self.memory_bytes = None

    async def wait(self):
        return await asyncio.shield(self.code)

    def poll(self):
        return self.code.result() if self.code.done() else None

    def end(self, code):
        if not self.code.done():
            self.code.set_result(code)

    def terminate(self):
        self.calls.append("terminate")
        self.end(0)

    def kill(self):
        self.calls.append("kill")
        self.end(-9)

    def cleanup(self):
        self.calls.append("cleanup")


class Stage:
    """A launcher, an engine, routes and a clock in one, with a record of what happened.

    `script` holds for each launch the states that the replica reports at once; the last entry
    goes on for ever. `said` is the info that goes with them.
    """

    def __init__(self, *script):
        self.script = list(script) or [GOOD]
        self.said = {}
        self.fault = {"message": "boom", "traceback": "tb", "hint": "h"}
        self.handles = []
        self.connections = []
        self.owners = []
        self.attached = []
        self.ends = []
        self.loading = set()
        self.log = []
        self.now_s = 100.0

    def clock(self):
        return self.now_s

    async def check(self, version):
        self.log.append(("check", str(version.id)))

    def prepared(self, _version, _bundle_dir, _tell):
        return nullcontext()

    def doing(self, _version_id):
        return None

    async def launch(self, spec):
        self.log.append(("launch", str(spec.version.id), spec.replica))
        handle = FakeHandle(len(self.handles))
        self.handles.append(handle)
        return handle

    def connect(self, _address, owner):
        states = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        loop = asyncio.get_running_loop()

        def say():
            for state in states:
                info = {"error": self.fault}
                owner.on_replica_state(state, info if state == "failed" else self.said)

        connection = SimpleNamespace(
            last_heard_s=self.now_s,
            in_flight={},
            counters=Counters(),
            open=lambda: loop.call_soon(say),
            close=lambda: None,
            heartbeat=lambda: None,
        )

        def excuse(missed_s):
            connection.last_heard_s += missed_s

        connection.excuse = excuse
        connection.unanswered = lambda: connection.in_flight
        connection.owed = lambda: iter(connection.in_flight)
        self.connections.append(connection)
        self.owners.append(owner)
        return connection

    def prepare(self, version):
        self.log.append(("prepare", str(version.id)))
        return self

    def forget(self, version_id):
        self.log.append(("forget", str(version_id)))

    def apply(self, state):
        self.log.append(("apply", dict(state.current)))

    def attach(self, connection):
        self.attached.append(connection)

    def detach(self, connection, end):
        self.attached.remove(connection)
        self.ends.append(end)

    def mark_loading(self, who, *, is_loading):
        (self.loading.add if is_loading else self.loading.discard)(who)

    def drain(self, connection):
        self.log.append(("drain", connection))

    def supervisor(self, config, timings=FAST):
        return Supervisor(
            config, self, {"process": self}, self.clock, connect=self.connect, timings=timings
        )


def version_of(number="1", **changes):
    """Return a version of model m."""
    fields = {"model": "m", "version": number, "input_type": InputType.DOUBLES, "bundle": "b"}
    return ModelVersion(**(fields | {"replicas": 1} | changes))


def bundle_tar(folder: Path) -> bytes:
    """Return the tar of a bundle."""
    return b"".join(Packed.of_folder(folder).chunks())


def make_bundle(folder: Path, source: str) -> tuple[str, bytes]:
    """Return the digest and the tar of a bundle of one function f."""
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "f.py").write_text(source)
    write(Manifest(loader="python", file="f.py", kind="function", object="f"), folder)
    return bundles.digest_of(folder), bundle_tar(folder)


async def until(condition):
    """Return when the condition holds; the loop goes on meanwhile."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - it yields to the loop, no time passes
            await asyncio.sleep(0)

"""Both versions of the replica protocol, spoken to a real replica by both kinds of front end.

Version 1 is what images have that were built before, and what other front ends speak: it is written
down here message by message. Version 2 is spoken by the connection that the daemon has.
"""

import json
import struct
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

import pytest
import zmq

from model_runtime import manifest, protocol, tensors
from model_runtime.manifest import Manifest
from model_runtime.tensors import Tensor
from servd.clock import monotonic
from servd.engine.query import Batch
from servd.engine.raw import RawOutput, WantsRaw
from servd.engine.rpc import connector
from tests.scripted_replica import doubles
from tests.serving import Owner, run, until

TIMEOUT_S = 30

NUMBERS = """
import numpy as np
def predict(rows):
    return np.stack([2 * row for row in rows]).astype(np.float32)
"""

TENSORS = """
def predict(rows):
    return [
        {"rows": x.sum(axis=1), "all": x.sum()} if (x := row.get("x")) is not None
        else {name: value.tolist() for name, value in row.items()}
        for row in rows
    ]
"""


@contextmanager
def replica(folder, source, input_type, address):
    """Yield a replica process of a source text, ready or soon to be."""
    bundle = folder / "bundle"
    (bundle / "files").mkdir(parents=True)
    (bundle / "files" / "m.py").write_text(source)
    made = Manifest(
        loader="python", file="m.py", kind="function", object="predict", input_type=input_type
    )
    manifest.write(made, bundle)
    options = {"listen": address, "bundle": bundle, "model": "m", "version": "1"}
    words = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen([sys.executable, "-m", "model_runtime", *words])
    try:
        yield
    finally:
        process.kill()
        process.wait(TIMEOUT_S)


@contextmanager
def front_end_of_version_1(address):
    """Yield a function that sends a message and returns the replies up to one of another kind.

    It fails on all that version 1 does not have.
    """
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, TIMEOUT_S * 1000)
        dealer.connect(address)

        def receive():
            header, *payload = dealer.recv_multipart()
            told = protocol.unpack_header(header)
            lengths = {2: 4, 5: 4, 6: 3, 7: 3}  # STATE, RESULT, FAILURE, LONG
            assert len(told) <= lengths[told[0]] + (told[0] == 6)
            assert told[0] != 2 or told[1] == 1
            assert len(payload) == (told[0] == 5)
            return told, payload

        def send(header, *payload):
            dealer.send_multipart([protocol.pack_header(header), *payload])

        yield send, receive


def test_a_front_end_of_version_1_is_served(tmp_path):
    """It is told that 1 is spoken, and hears of nothing that 1 lacks; numpy's outputs are JSON."""
    address = f"ipc://{tmp_path}/r.sock"
    with (
        replica(tmp_path, NUMBERS, "doubles", address),
        front_end_of_version_1(address) as (send, receive),
    ):
        send([1, 1, "old"])
        while (told := receive()[0])[2] != "ready":
            send([3, 0])
        assert told[3]["input_type"] == "doubles"
        send([4, 1, 3, 2], doubles(1.5, 2.0, 3.0, 4.0))
        while (told := receive())[0][0] == 2:
            pass
        assert told[0][:3] == [5, 1, 2]
        assert told[1] == [b"[3.0,4.0]\n[6.0,8.0]"]
        wide = 100_000
        send([4, 2, 3, 1], doubles(*[1.0] * wide))
        while (told := receive())[0][0] == 2:
            pass
        text = json.dumps([2.0] * wide, separators=(",", ":")).encode()
        assert told[0] == [7, 2, len(text)]
        assert receive()[1] == [text]
        send([4, 3, 3, 1], b"1234567")
        while (told := receive())[0][0] == 2:
            pass
        assert told[0][:2] == [6, 3]


class Handler:
    """Remembers how batches ended, by their rows."""

    def __init__(self):
        self.outputs = []
        self.failures = []

    def on_outputs(self, _connection, _batch, outputs):
        """Take outputs."""
        self.outputs.append(outputs)

    def on_failure(self, _connection, _batch, failure):
        """Take a failure."""
        self.failures.append((failure.reason, failure.cause == protocol.BAD_OUTPUT))


@asynccontextmanager
async def connected(address):
    """Yield a connection to a replica that is ready, and what hears of its batches."""
    owner, handler = Owner(), Handler()
    with zmq.Context() as context:
        connection = connector(context, monotonic)(address, owner)
        connection.handler = handler
        connection.open()
        await until(lambda: owner.states and owner.states[-1] == protocol.READY)
        try:
            yield connection, handler
        finally:
            connection.close()


def batch_of(*rows):
    """Return a batch of rows."""
    return Batch([SimpleNamespace(row=row) for row in rows], 0.0)


def arrays(output):
    """Return a raw output's tensors by name: dtype, shape and numbers."""
    assert type(output) is RawOutput
    found = {}
    for place in output.places():
        letter = tensors.LETTERS[place.dtype]
        data = b"".join(output.data(place))
        numbers = struct.unpack(f"<{len(data) // tensors.WIDTHS[place.dtype]}{letter}", data)
        found[place.name] = (place.dtype, place.shape, numbers)
    return found


@pytest.fixture(params=["ipc", "unix"])
def address(request, tmp_path):
    """Return an address of both carriers of one machine."""
    return f"{request.param}://{tmp_path}/r.sock"


def test_outputs_are_raw_where_they_are_wanted(tmp_path, address):
    """In one batch with others that are texts; a long one, too, with the type of the model's."""

    async def main():
        async with connected(address) as (connection, handler):
            assert connection.spoken == 2
            row = doubles(1.5, 2.0)
            connection.send_batch(batch_of(WantsRaw(row), row, WantsRaw(row)), 3)
            await until(lambda: handler.outputs)
            ((first, text, last),) = handler.outputs
            assert arrays(first) == arrays(last) == {"": ("float32", (2,), (3.0, 4.0))}
            assert text == b"[3.0,4.0]"
            wide = 1_000_000
            connection.send_batch(batch_of(WantsRaw(doubles(*[1.0] * wide))), 3)
            await until(lambda: len(handler.outputs) == 2)
            assert arrays(handler.outputs[1][0]) == {"": ("float32", (wide,), (2.0,) * wide)}
            assert not connection.in_flight

    with replica(tmp_path, NUMBERS, "doubles", address):
        run(main())


def row_of(*given):
    """Return a row of tensors."""
    return b"".join(tensors.pack(given))


def test_a_row_has_several_tensors(tmp_path, address):
    """The model gets each by its name; its outputs have names, too. A bad row fails, by name."""
    x = Tensor("x", "float32", (2, 2), struct.pack("<4f", 1, 2, 3, 4))
    more = (
        Tensor("flag", "bool", (1,), b"\1"),
        Tensor("t", "bytes", (), tensors.pack_elements([b"a"])),
    )
    good, other = row_of(x, more[0]), row_of(*more[:1], Tensor("n", "int64", (), bytes(8)))

    async def main():
        async with connected(address) as (connection, handler):
            connection.send_batch(batch_of(WantsRaw(good), other, good), protocol.TENSORS)
            await until(lambda: handler.outputs)
            ((raw, text, same),) = handler.outputs
            assert arrays(raw) == {
                "rows": ("float32", (2,), (3.0, 7.0)),
                "all": ("float32", (), (10.0,)),
            }
            assert json.loads(text) == {"flag": [True], "n": 0}
            assert json.loads(same) == {"rows": [3.0, 7.0], "all": 10.0}
            for bad in (b"", good[:-8], good + bytes(8), good.replace(b"float32", b"float33")):
                count = len(handler.failures)
                connection.send_batch(batch_of(bad), protocol.TENSORS)
                await until(lambda count=count: len(handler.failures) > count)
            reasons = [reason for reason, _ in handler.failures]
            assert "0 bytes are too few" in reasons[0]
            assert "of tensors that take" in reasons[1]
            assert "of tensors that take" in reasons[2]
            assert "of dtype 'float33'; known are bool" in reasons[3]
            connection.send_batch(batch_of(doubles(1.0)), protocol.DOUBLES)
            await until(lambda: len(handler.failures) == 5)
            assert "inputs of type 3 for a model that takes tensors" in handler.failures[4][0]
            connection.send_batch(batch_of(WantsRaw(row_of(*more[1:]))), protocol.TENSORS)
            await until(lambda: len(handler.outputs) == 2)
            assert handler.outputs[1] == [b'{"t":"YQ=="}']

    with replica(tmp_path, TENSORS, "tensors", address):
        run(main())


def test_a_connection_that_breaks_is_greeted_again(tmp_path):
    """The replica does not know who connects again; both go on with what both speak."""
    address = f"unix://{tmp_path}/r.sock"

    async def main():
        async with connected(address) as (connection, handler):
            connection._carrier._socket.shutdown(2)
            connection.spoken = 0
            await until(lambda: connection.spoken == 2)
            connection.send_batch(batch_of(WantsRaw(doubles(1.0))), 3)
            await until(lambda: handler.outputs)
            assert arrays(handler.outputs[0][0]) == {"": ("float32", (1,), (2.0,))}

    with replica(tmp_path, NUMBERS, "doubles", address):
        run(main())

"""CURVE keys and who they let in, over real tcp sockets."""

import asyncio

import pytest
import zmq

from model_runtime import protocol
from model_runtime.connection import ReplicaSocket
from model_runtime.keys import KeyFileError, read_replica_keys
from servd.carriers import curve
from servd.carriers.carriers import carry
from servd.clock import monotonic
from servd.engine.rpc import ReplicaConnection
from servd.errors import ConfigError
from tests.serving import Owner, run, until


class Listening:
    """A replica's socket on tcp that is received from until the end."""

    def __init__(self, keys):
        self.socket = ReplicaSocket("tcp://127.0.0.1:*", {"pid": 1}, keys)
        self.address = self.socket._carrier._socket.get_string(zmq.LAST_ENDPOINT)  # type: ignore[attr-defined]

    async def serve(self):
        """Receive without keeping the loop from others."""
        self.socket._carrier._socket.setsockopt(zmq.RCVTIMEO, 5)  # type: ignore[attr-defined]
        while True:
            self.socket.receive()
            await asyncio.sleep(0.001)


def folder_of(path):
    """Return a folder with new keys."""
    curve.write_keys(path)
    return path


async def heard(keys, connections, is_settled=lambda: True):
    """Return the states that each connection's owner heard, once the first heard two."""
    listening = Listening(keys)
    with listening.socket, zmq.Context() as context:
        owners = [Owner() for _ in connections]
        opened = [
            ReplicaConnection(
                listening.address, owner, carry(listening.address, context, given), monotonic
            )
            for owner, given in zip(owners, connections, strict=True)
        ]
        serving = asyncio.ensure_future(listening.serve())
        for connection in reversed(opened):  # the strangers first
            connection.open()
        await until(lambda: owners[0].states and is_settled())
        seen = len(owners[0].states)
        listening.socket.announce(protocol.READY)
        await until(lambda: len(owners[0].states) > seen)
        serving.cancel()
        for connection in opened:
            connection.close()
        return [owner.states for owner in owners]


def test_only_the_known_key_is_answered(tmp_path, capfd):
    """The frontend whose key the replica has is answered; strangers never; the log says so once."""
    known, other = folder_of(tmp_path / "known"), folder_of(tmp_path / "other")
    keys, others = curve.read_keys(known), curve.read_keys(other)
    stranger = curve.CurveKeys(keys.replica_public, others.frontend_public, others.frontend_secret)
    said = []

    def is_refused():
        said.append(capfd.readouterr().out)
        return "refused" in "".join(said)

    async def main():
        given = [keys, stranger, stranger, None]
        states = await heard(read_replica_keys(known), given, is_refused)
        assert states[0]
        assert states[1:] == [[], [], []]

    run(main())
    said.append(capfd.readouterr().out)
    assert "".join(said).count("was refused: its key is unknown") == 1


def test_a_replica_without_keys_is_not_believed(tmp_path):
    """A frontend with keys hears nothing from a replica that has none."""
    keys = curve.read_keys(folder_of(tmp_path))

    async def main():
        assert (await heard(None, [None, keys]))[1] == []

    run(main())


def test_key_files(tmp_path):
    """Four files for the owner's eyes only; writing them again makes new ones."""
    folder = folder_of(tmp_path / "keys")
    names = ["frontend.public", "frontend.secret", "replica.public", "replica.secret"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    before = curve.read_keys(folder)
    curve.write_keys(folder)
    assert curve.read_keys(folder) != before


@pytest.mark.parametrize("content", [None, "", "short", "~" * 40])
def test_bad_key_files_are_named(tmp_path, content):
    """A missing or wrong file is named, for frontends and for replicas."""
    folder = folder_of(tmp_path)
    for name in ("replica.public", "replica.secret"):
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)
    with pytest.raises(ConfigError, match=r"replica\.public"):
        curve.read_keys(folder)
    with pytest.raises(KeyFileError, match=r"replica\.secret"):
        read_replica_keys(folder)

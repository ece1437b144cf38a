"""A unix socket of the daemon whose file is taken away."""

import asyncio
import shutil
import stat

import pytest

from servd.system import kept_socket
from servd.system.kept_socket import KeptSocket
from tests.replicas import until

WAIT_S = 10.0


class Greeter(asyncio.Protocol):
    """Greets whoever connects."""

    def connection_made(self, transport):
        """Say hello."""
        transport.write(b"hello\n")


async def greeted(path):
    """Return the greeting and the connection's ends, once the socket is there."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            return await reader.readline(), reader, writer


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Look often."""
    monkeypatch.setattr(kept_socket, "CHECK_EVERY_S", 0.01)


@pytest.mark.parametrize("kind", ["removed", "replaced", "folder removed"])
def test_it_is_made_anew(tmp_path, kind, caplog):
    """With its mode; who was connected stays so, and the loss is logged once."""
    path = tmp_path / "run" / "a.sock"

    async def story():
        async with KeptSocket(path, Greeter):
            _, reader, writer = await greeted(path)
            first = path.stat().st_ino
            if kind == "folder removed":
                shutil.rmtree(path.parent)
            else:
                path.unlink()
            if kind == "replaced":
                path.write_text("something else")
            await until(lambda: path.is_socket() and path.stat().st_ino != first)
            said, _, other = await greeted(path)
            assert said == b"hello\n"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert not reader.at_eof()
            for end in (writer, other):
                end.close()
                await end.wait_closed()
        assert not path.exists()

    asyncio.run(story())
    assert caplog.text.count("it is made anew") == 1


def test_a_data_directory_that_is_gone_is_not_made_anew(tmp_path):
    """It may come back; nothing of ours may be in its way."""
    data = tmp_path / "data"
    data.mkdir()
    path = data / "run" / "a.sock"

    async def story():
        async with KeptSocket(path, Greeter):
            data.rename(tmp_path / "away")
            await asyncio.sleep(0.1)  # some ten looks
            assert not data.exists()
            (tmp_path / "away").rename(data)
            _, _, writer = await greeted(path)
            writer.close()
            await writer.wait_closed()

    asyncio.run(story())


def test_what_cannot_be_made_anew_is_tried_again(tmp_path, caplog):
    """A folder in the way is said, and the socket comes when it is gone."""
    path = tmp_path / "run" / "a.sock"

    async def story():
        async with KeptSocket(path, Greeter):
            path.unlink()
            path.mkdir()
            await until(lambda: "cannot be made anew" in caplog.text)
            path.rmdir()
            _, _, writer = await greeted(path)
            writer.close()
            await writer.wait_closed()

    asyncio.run(story())

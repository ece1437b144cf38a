"""A unix socket of the daemon that is made anew when its file is gone. Used by http/admin and
frontends/hub.py.

Whoever tidies up /tmp, or the data directory, takes the file away and leaves a daemon that nobody
reaches. What is connected already stays so.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from servd.logs.log import log

CHECK_EVERY_S: Final = 1.0


class KeptSocket:
    """A listening socket at a path, mode 0600, as an async context manager.

    Raises:
        OSError: at entry, where it cannot be had.
    """

    def __init__(self, path: Path, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self._path = path
        self._protocol = protocol
        self._server: asyncio.Server | None = None
        self._inode: tuple[int, int] | None = None
        self._tasks = asyncio.TaskGroup()
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # The daemon holds its lock, so a socket that is there is left from one that was killed.
        await self._listen()
        await self._tasks.__aenter__()
        self._watch = self._tasks.create_task(self._keep(), name=f"keeps {self._path.name}")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
        await self._tasks.__aexit__(None, None, None)
        if self._server is not None:
            self._server.close()
        if self._is_ours():
            self._path.unlink(missing_ok=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            # Where the data directory itself is gone, it is not made anew: it may come back.
            if self._is_ours() or not self._path.parent.parent.is_dir():
                continue
            try:
                await self._listen()
            except OSError as error:
                log.warning("%s is gone and cannot be made anew: %s", self._path, error.strerror)
            else:
                log.warning("%s was gone: it is made anew", self._path)

    def _is_ours(self) -> bool:
        try:
            found = self._path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    async def _listen(self) -> None:
        before = self._server
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # By the mask and not by a chmod: there is no instant at which others could connect.
        mask = os.umask(0o177)
        try:
            sock.bind(str(self._path))
        except OSError:
            sock.close()
            raise
        finally:
            os.umask(mask)
        found = self._path.lstat()
        self._inode = found.st_dev, found.st_ino
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._protocol, sock=sock)
        if before is not None:
            with suppress(OSError):
                before.close()

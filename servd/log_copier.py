"""Passes on what replicas print to this process's own output. Used by serve_one.py.

In a container whoever reads its log wants the model's lines, which go to files.
"""

import asyncio
import sys
from pathlib import Path
from typing import BinaryIO

EVERY_S = 0.25
MAX_BYTES = 256 * 1024
"""Of one file at a time; the rest is passed on the next time."""


class LogCopier:
    """Copies what is appended to the `*.log` files below a folder."""

    def __init__(self, folder: Path, target: BinaryIO | None = None) -> None:
        self._folder = folder
        self._target = target or sys.stdout.buffer
        self._positions: dict[Path, int] = {}

    async def run(self) -> None:
        """Copy until cancelled."""
        while True:
            await asyncio.to_thread(self.copy)
            await asyncio.sleep(EVERY_S)

    def copy(self) -> None:
        """Copy what has come since the last time."""
        for path in sorted(self._folder.rglob("*.log")):
            try:
                content = self._read(path)
            except OSError:
                continue  # rotated away at this very moment
            if content:
                self._target.write(content)
        self._target.flush()

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            position = self._positions.get(path, 0)
            file.seek(position if position <= size else 0)  # emptied when it was rotated
            content = file.read(MAX_BYTES)
            self._positions[path] = file.tell()
            return content

"""Passes on what replicas print to this process's own output. Used by serve_one.py and daemon.py.

In a container and in the foreground whoever reads the output wants the model's lines, which go to
files. A terminal that is held up holds up no model: it is read from the files, by a thread.
"""

import asyncio
import sys
from pathlib import Path
from typing import BinaryIO

from servd.logs.log import log
from servd.logs.printable import in_colour
from servd.logs.reader import LogReader

EVERY_S = 0.25


class LogCopier:
    """Copies what is appended to the `MODEL/VERSION.REPLICA.log` files below a folder.

    What is there when it is made is not copied. With `is_labelled` each line begins with the
    replica that it is from.
    """

    def __init__(
        self, folder: Path, target: BinaryIO | None = None, *, is_labelled: bool = False
    ) -> None:
        self._folder = folder
        self._target: BinaryIO | None = target or sys.stdout.buffer
        self._is_labelled = is_labelled
        self._is_terminal = self._target.isatty()
        self._readers: dict[Path, LogReader] = {}
        for reader in self._all():
            reader.tail(0)

    async def run(self) -> None:
        """Copy until cancelled."""
        while True:
            await asyncio.to_thread(self.copy)
            await asyncio.sleep(EVERY_S)

    def copy(self) -> None:
        """Copy what has come since the last time, of one file a megabyte at most."""
        if self._target is None:
            return
        try:
            for reader in self._all():
                lines = reader.more()
                if self._is_terminal:
                    lines = [_for_terminal(line) for line in lines]
                self._target.write(reader.labelled(lines, is_labelled=self._is_labelled))
            self._target.flush()
        except OSError as error:
            self._target = None  # whoever read it has gone; the files remain
            log.warning("what the models print is not shown any more: %s", error)

    def _all(self) -> list[LogReader]:
        for path in sorted(self._folder.rglob("*.log")):
            if path not in self._readers:
                version, _, replica = path.stem.rpartition(".")
                label = f"{path.parent.name}:{version}/{replica}"
                self._readers[path] = LogReader(path, label)
        return list(self._readers.values())


def _for_terminal(line: bytes) -> bytes:
    return f"{in_colour(line.decode(errors='replace').rstrip(chr(10)))}\n".encode()

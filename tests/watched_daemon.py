"""`python -m tests.watched_daemon`: a daemon that tells how long its loop was held.

Whoever connects to `watch.sock` in its data directory reads one JSON object: the most processor
time that the event loop took between two of its turns, and the most memory that the daemon and the
reader of long bodies took, since the last time that it was read.
"""

import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import Path

import psutil
import uvloop

from servd.config import load_config
from servd.processes.daemon import serve

_LOOK_S = 0.001


class Watch:
    """Looks at the loop's own processor time in each of its turns, or every millisecond."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._before_s = time.thread_time()

    def look(self) -> None:
        """Note what was done since the last look, and look again."""
        now_s = time.thread_time()
        self._worst_s = max(self._worst_s, now_s - self._before_s)
        self._before_s = now_s
        asyncio.get_running_loop().call_later(_LOOK_S, self.look)

    def tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Write what was seen, and begin again."""
        readers = []
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # one that has had nothing to read ends
                if "servd.http.query.body_reader" in child.cmdline():
                    readers.append(child.pid)
        told = {"turn_ms": self._worst_s * 1e3, "peak_kb": _peak_kb(os.getpid())}
        told["reader_kb"] = max(map(_peak_kb, readers), default=0)
        writer.write(json.dumps(told).encode())
        writer.close()
        self._worst_s = 0.0
        self._before_s = time.thread_time()


def _peak_kb(pid: int) -> int:
    """Return the most memory that a process had at a time, and let the count begin again."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets the peak
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


async def main() -> int:
    """Run the daemon that the environment describes."""
    config = load_config({}, os.environ, Path.cwd())
    watch = Watch()
    watch.look()
    async with await asyncio.start_unix_server(watch.tell, config.data_dir / "watch.sock"):
        return await serve(config)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise SystemExit(runner.run(main()))

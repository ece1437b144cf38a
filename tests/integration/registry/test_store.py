"""What was acknowledged is there after a writer was killed."""

import asyncio
import subprocess
import sys

from tests.unit.registry.test_store import load

WRITER = """
import asyncio, sys
from pathlib import Path
from servd.registry import store
from servd.datatypes import Application, InputType

async def main():
    async with store.Store(Path(sys.argv[1])) as opened:
        start = len((await opened.load()).applications)
        for n in range(start, start + 10_000):
            app = Application(name=f"a{n}", input_type=InputType.ANY, slo_us=1)
            await opened.write([store.put_application(app)])
            print(n, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    """After each of several kill -9 in a stream of writes, every acknowledged one is there."""
    path = tmp_path / "r.db"
    for round_number in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            acknowledged = [int(writer.stdout.readline()) for _ in range(3 + 5 * round_number)]
            writer.kill()
            acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        stored = asyncio.run(load(path)).applications
        assert len(stored) >= acknowledged[-1] + 1
        assert all(f"a{n}" in stored for n in range(acknowledged[-1] + 1))

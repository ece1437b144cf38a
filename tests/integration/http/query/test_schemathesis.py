"""The documents hold: schemathesis asks what they describe, right and wrong, and finds nothing."""

import asyncio
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from servd.datatypes import InputType
from tests.described import CREDIT, HOUSE, IRIS, SUM_OF_TWO, UPPER
from tests.scripted_replica import ScriptedReplica
from tests.serving import serving

ROOT = Path(__file__).parents[4]
TIMEOUT_S = 240
EXAMPLES = 10

APPLICATIONS: dict[str, tuple] = {
    "credit": (InputType.ROWS, CREDIT, b'"no"', {}),
    "two": (InputType.ROWS, SUM_OF_TWO, b"3", {"default": "-1"}),
    "upper": (InputType.STRINGS, UPPER, b'"A"', {}),
    "house": (InputType.ROWS, HOUSE, b"1.5", {}),
    "iris": (InputType.DOUBLES, IRIS, b'{"label":"a","probabilities":{"a":1}}', {"items": 4}),
    "sums": (InputType.DOUBLES, None, b"6.0", {"items": 3, "default": '{"a": [null]}'}),
    "halves": (InputType.FLOATS, None, b"0.5", {}),
    "counts": (InputType.INTEGERS, None, b"1", {}),
    "cats": (InputType.BYTES, None, b"7", {}),
    "words": (InputType.STRINGS, None, b'"x"', {}),
    "anything": (InputType.ANY, None, b"null", {}),
}
"""Input type, signature, and what the model answers; with one that has no model."""

BY_JSON = "house.predict.get"
"""Has an object among its parameters, which schemathesis encodes twice except in `fuzzing`."""

RUNS = (
    ("--phases", "examples,coverage,fuzzing", "--exclude-operation-id", BY_JSON),
    ("--phases", "fuzzing", "--include-operation-id", BY_JSON),
)
BRIEFLY = (("--phases", "examples", "--exclude-operation-id", BY_JSON),)


async def _deploy(served, stack):
    for name, (kind, signature, output, more) in APPLICATIONS.items():
        items = more.get("items")
        replica = ScriptedReplica(answer=lambda _row, output=output: output, row_items=items)
        stack.enter_context(replica)
        given = {"input_type": kind, "signature": signature, "default": more.get("default")}
        await served.attach(replica, served.deploy(name, name, **given))
    served.deploy("none", None, default='"nothing"')


async def _find(folder, port, *options):
    """Return what schemathesis says, and whether it found nothing; it keeps things in a folder."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json"),
        *("--checks", "all", "--no-color"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic"),
        *options,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode(), process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("token", "runs"), [(None, RUNS), ("secret", BRIEFLY)])
def test_schemathesis_finds_nothing(token, runs, tmp_path):
    """Applications of all kinds answer as their document says, to right requests and wrong ones."""

    async def main():
        with ExitStack() as stack:
            async with asyncio.timeout(TIMEOUT_S), serving(token=token) as served:
                await _deploy(served, stack)
                options = ("-H", f"Authorization: Bearer {token}") if token else ()
                for run in runs:
                    said, is_clean = await _find(tmp_path, served.server.port, *run, *options)
                    assert is_clean, said
                    assert "passed" in said

    asyncio.run(main())

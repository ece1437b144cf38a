"""Long texts that are split in turns of the loop."""

import asyncio
import random

import pytest

from servd import long_bytes
from servd.long_bytes import LongBytes, split_long, views
from tests.serving import run


async def parts_of(text):
    """Return the parts of a text, as bytes, once it is split."""
    found = asyncio.get_running_loop().create_future()
    split_long(text, found.set_result)
    return views(await found)


@pytest.mark.parametrize("kind", [bytes, memoryview])
@pytest.mark.parametrize("limits", [(7, 3, 5), (1 << 20, 1 << 20, 2000)])
def test_a_text_is_split_as_bytes_are(monkeypatch, kind, limits):
    """Whatever is looked through in one turn, the parts are those of `bytes.split`."""
    for name, value in zip(("LONG_BYTES", "_TURN_BYTES", "_TURN_OUTPUTS"), limits, strict=True):
        monkeypatch.setattr(long_bytes, name, value)
    chance = random.Random(3)

    async def main():
        for _ in range(200):
            text = bytes(chance.choices(b"ab\n", (5, 5, 3), k=chance.randint(1, 60)))
            assert await parts_of(kind(text)) == text.split(b"\n")

    run(main())


def test_long_bytes_are_not_taken_for_bytes():
    """They are never joined, formatted, hashed by content or found equal by accident."""
    one, other = LongBytes(memoryview(b"ab")), LongBytes(memoryview(b"ab"))
    assert len(one) == 2
    assert one != other
    assert len({one, other}) == 2
    with pytest.raises(TypeError, match="LongBytes"):
        b"".join([one])
    with pytest.raises(TypeError, match="LongBytes"):
        b"%b" % one

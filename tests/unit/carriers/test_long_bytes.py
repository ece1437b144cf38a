"""Long texts that are split in turns of the loop."""

import asyncio
import random
from itertools import pairwise

import pytest

from servd.carriers import long_bytes
from servd.carriers.long_bytes import LongBytes, pieces_of, split_long
from tests.serving import run


async def parts_of(pieces):
    """Return the parts of a text, as bytes, once it is split."""
    found = asyncio.get_running_loop().create_future()
    split_long(pieces, found.set_result)
    return [b"".join(pieces_of([part])) for part in await found]


@pytest.mark.parametrize("limits", [(7, 3, 5), (1 << 20, 1 << 20, 2000)])
def test_a_text_is_split_as_bytes_are(monkeypatch, limits):
    """Whatever is looked through in one turn, the parts are those of `bytes.split`."""
    for name, value in zip(("LONG_BYTES", "TURN_BYTES", "_TURN_OUTPUTS"), limits, strict=True):
        monkeypatch.setattr(long_bytes, name, value)
    chance = random.Random(3)

    async def main():
        for _ in range(200):
            text = bytes(chance.choices(b"ab\n", (5, 5, 3), k=chance.randint(1, 60)))
            cuts = sorted(chance.choices(range(len(text)), k=chance.randint(0, 5)))
            pieces = [text[a:b] for a, b in pairwise((0, *cuts, len(text)))]
            assert await parts_of(list(map(memoryview, pieces))) == text.split(b"\n")

    run(main())


def test_long_bytes_are_not_taken_for_bytes():
    """They are never joined, formatted, hashed by content or found equal by accident."""
    one, other = LongBytes([b"a", b"b"]), LongBytes([b"ab"])
    assert len(one) == 2
    assert one != other
    assert len({one, other}) == 2
    with pytest.raises(TypeError, match="LongBytes"):
        b"".join([one])
    with pytest.raises(TypeError, match="LongBytes"):
        b"%b" % one

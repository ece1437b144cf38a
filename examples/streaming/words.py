"""Models that yield: what they have is answered while they are still at it."""

import asyncio
from collections.abc import AsyncIterator, Iterator


def spell(text: str, times: int = 1) -> Iterator[str]:
    """Yield a text word by word, as a language model would."""
    for number in range(times):
        for word in text.split():
            yield word if number == 0 else f"{word}!"


async def countdown(start: int = 3) -> AsyncIterator[dict[str, int]]:
    """Yield what is left, waiting for something between."""
    for left in range(start, 0, -1):
        yield {"left": left}
        await asyncio.sleep(0.01)

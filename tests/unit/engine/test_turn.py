"""What the event loop reads in one go, on a clock of the test's own."""

import asyncio

from servd.engine.turn import LOOK_EVERY, Turn


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        """Return the time."""
        return self.now_s


class Stage:
    """A turn, and how often it looked up and ended."""

    def __init__(self):
        self.clock = Clock()
        self.looks = 0
        self.ends = 0
        self.turn = Turn(self.clock, self._on_end, self._on_look)

    def _on_look(self):
        self.looks += 1

    def _on_end(self):
        self.ends += 1

    async def read(self, count, each_s):
        """Count as many queries in one turn, each of which takes so long to read."""
        for _ in range(count):
            self.turn.count()
            self.clock.now_s += each_s
        await asyncio.sleep(0)
        assert not self.turn.is_on


def test_a_tick_of_few_queries_is_not_behind():
    """However long they took: something else was slow, and nothing waits."""

    async def main():
        stage = Stage()
        await stage.read(LOOK_EVERY, 1.0)
        assert (stage.looks, stage.ends, stage.turn.lag_s) == (0, 1, 0.0)

    asyncio.run(main())


def test_a_long_tick_looks_up_and_is_behind_until_a_short_one():
    """It is behind by how long it reads, from the first look to the end of the next turn."""

    async def main():
        stage = Stage()
        await stage.read(3 * LOOK_EVERY + 10, 1.0)
        assert (stage.looks, stage.ends) == (3, 1)
        assert stage.turn.lag_s == 3 * LOOK_EVERY + 10
        stage.turn.count()
        assert stage.turn.lag_s == 3 * LOOK_EVERY + 10
        await asyncio.sleep(0)
        assert (stage.ends, stage.turn.lag_s) == (2, 0.0)

    asyncio.run(main())


def test_queries_after_a_look_came_later():
    """Their time is that of the look, not of the turn's begin."""

    async def main():
        stage = Stage()
        stage.turn.begin(100.0)
        stage.clock.now_s = 130.0
        stage.turn.look()
        assert stage.turn.now_s == 130.0
        assert stage.turn.lag_s == 30.0
        await asyncio.sleep(0)

    asyncio.run(main())


def test_replies_were_looked_for_before_the_tick_before():
    """A reply that is read in a turn may have come since the end of the turn before the last."""

    async def main():
        stage = Stage()
        await stage.read(1, 1.0)
        await stage.read(1, 1.0)
        assert stage.turn.looked_s == 101.0

    asyncio.run(main())

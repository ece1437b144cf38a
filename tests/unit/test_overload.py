"""More queries than a model can do: what would be late is refused, the rest is in time."""

import asyncio

import pytest

from tests.overload import SLO_S, Overload


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("share", [1.5, 2.0, 5.0])
@pytest.mark.parametrize("batching", ["aimd", "quantile"])
def test_goodput_holds_under_overload(share, replicas, batching):
    """Offered more than it can do, a model still does 85 % of it in time; the rest is told soon."""
    world = Overload(replicas, batching)
    asyncio.run(world.run(1.0, 0.5))
    asyncio.run(world.run(share, 2.0))
    assert world.good >= 0.85 * world.capacity * 2.0
    assert world.late <= 0.02 * world.good
    assert world.refused_after_s <= SLO_S
    asyncio.run(world.run(0.6, 0.5))
    assert world.good >= 0.99 * world.asked

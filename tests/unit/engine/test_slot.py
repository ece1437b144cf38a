"""What is learned of a replica's pace, and what follows for how many may wait."""

from types import SimpleNamespace

import pytest

from servd.engine.batching import AimdBatch, FixedBatch
from servd.engine.query import Batch
from servd.engine.slot import SLACK, UNLIMITED, Slot, next_slot

SLO_S = 0.02


def learn(slot, compute_s, *, sent_s, now_s, looked_s=0.0, size=None):
    """Have a batch come back."""
    batch = Batch([SimpleNamespace(row=b"")] * (size or slot.controller.limit), sent_s)
    batch.compute_s = compute_s
    slot.learn(batch, now_s, looked_s)


def test_the_daemons_lag_does_not_shrink_the_batches():
    """A reply that the daemon reads late counts by what the replica took."""
    slot = Slot(None, AimdBatch(SLO_S))
    for n in range(100):
        learn(slot, 0.001, sent_s=n, now_s=n + 0.5, looked_s=n)
    assert slot.controller.limit > 100


def test_a_slow_way_shrinks_the_batches():
    """A reply that is not there when the loop looks is on its way: the way counts."""
    slot = Slot(None, AimdBatch(SLO_S))
    slot.controller.limit = 100
    for n in range(100):
        learn(slot, 0.001, sent_s=n, now_s=n + 0.05, looked_s=n + 0.049)
    assert slot.controller.limit == 1


def test_a_replica_that_does_not_say_is_measured_by_the_round_trip():
    """Two batches are in flight, so each took half of it."""
    slot = Slot(None, FixedBatch(10))
    learn(slot, 0.0, sent_s=1.0, now_s=1.5)
    assert slot.full_s == 0.25


def test_room_is_what_can_be_answered_in_time():
    """Two batches are in flight; what fits into the rest of the objective may wait."""
    slot = Slot(None, FixedBatch(10))
    assert slot.room(SLO_S) == UNLIMITED
    for n in range(100):
        learn(slot, 0.003, sent_s=n, now_s=n + 0.003)
    assert slot.room(SLO_S) == pytest.approx(40 + SLACK, abs=1)
    assert slot.room(1.0) == pytest.approx(2980 + SLACK, abs=2)
    for n in range(100, 200):
        learn(slot, 0.05, sent_s=n, now_s=n + 0.05)
    assert slot.room(SLO_S) == 10 + SLACK


def test_a_size_that_still_grows_bounds_nothing():
    """How much fits is not known before the size has met the target."""
    slot = Slot(None, AimdBatch(SLO_S))
    learn(slot, 0.001, sent_s=1.0, now_s=1.001)
    assert slot.room(SLO_S) == UNLIMITED


def test_a_batch_is_away_for_its_mean_and_some_deviation():
    """Steady round trips are expected as they are, unsteady ones with a margin."""
    steady, unsteady = Slot(None, FixedBatch(1)), Slot(None, FixedBatch(1))
    for n in range(200):
        learn(steady, 0.001, sent_s=n, now_s=n + 0.01)
        learn(unsteady, 0.001, sent_s=n, now_s=n + (0.005 if n % 2 else 0.015))
    assert steady.away_s == pytest.approx(0.01, rel=0.01)
    assert 0.015 < unsteady.away_s < 0.025


def test_slots_take_turns():
    """The one with the fewest batches in flight is next; equals take turns; full ones wait."""
    slots = [Slot(SimpleNamespace(in_flight={}), FixedBatch(1)) for _ in range(2)]
    seen = []
    while slot := next_slot(slots):
        slot.connection.in_flight[len(seen)] = None
        seen.append(slot)
    assert len(seen) == 4
    assert seen[0] is seen[2]
    assert seen[1] is seen[3]

"""How the batch size controllers learn."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.batching import (
    HEADROOM,
    MAX_LIMIT,
    AimdBatch,
    FixedBatch,
    QuantileBatch,
    fit_line,
    new_controller,
    quantile,
)
from servd.datatypes import Batching, InputType, ModelVersion


def test_a_fixed_size_stays():
    """A size that the user gave is never changed."""
    controller = FixedBatch(7)
    controller.on_batch(7, 100.0)
    assert controller.limit == 7


def test_full_batches_inside_the_target_grow_it():
    """Additive increase needs a full batch that was quick."""
    controller = AimdBatch(0.1)
    for limit in (1, 3, 5):
        assert controller.limit == limit
        controller.on_batch(limit, 0.001)
    controller.on_batch(6, 0.001)
    assert controller.limit == 7


def test_slow_batches_shrink_it():
    """Multiplicative decrease by a tenth, and never below one."""
    controller = AimdBatch(0.1)
    controller.limit = 100
    controller.on_batch(99, 1.0)
    assert controller.limit == 100
    controller.on_batch(100, 0.0285)
    assert controller.limit == 100
    controller.on_batch(100, 1.0)
    assert controller.limit == 90
    for _ in range(100):
        controller.on_batch(MAX_LIMIT, 1.0)
    assert controller.limit == 1


@given(
    st.sampled_from([AimdBatch, QuantileBatch]),
    st.floats(0, 10),
    st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 10)), max_size=60),
)
def test_the_limit_stays_in_bounds(make, slo_s, batches):
    """Whatever is learned, a batch may hold at least one query and no more than the bound."""
    controller = make(slo_s)
    for size, round_trip_s in batches:
        controller.on_batch(size, round_trip_s)
        assert 1 <= controller.limit <= MAX_LIMIT


def test_it_converges_on_a_model_of_constant_rate():
    """For a model that takes 1 ms a query the size ends near the target, not above the SLO."""
    controller = AimdBatch(0.1)
    for _ in range(500):
        controller.on_batch(controller.limit, controller.limit * 0.001)
    assert 24 <= controller.limit <= 32


# --- by simulation: what a replica takes for a batch is a line, with or without noise ---

SLO_S = 0.02
CHEAP = (2e-6, 0.0003)
"""Seconds a query and seconds a call: about 2,800 queries fit the target."""

DEAR = (0.0002, 0.001)
"""25 queries fit the target."""


def optimum(line, slo_s=SLO_S):
    """Return the size at which a batch takes just the target."""
    slope, constant = line
    return (slo_s * HEADROOM - constant) / slope


def full_batches(controller, line, count, noise=0.0, seed=1):
    """Have full batches computed by a model of that line; return the limits that held."""
    random = Random(seed)
    slope, constant = line
    limits = []
    for _ in range(count):
        size = controller.limit
        controller.on_batch(size, (slope * size + constant) * (1 + abs(random.gauss(0, noise))))
        limits.append(controller.limit)
    return limits


@pytest.mark.parametrize("make", [AimdBatch, QuantileBatch])
@pytest.mark.parametrize("line", [CHEAP, DEAR])
def test_it_converges_on_the_optimum(make, line):
    """For a cheap and for a dear model the size ends within 15 % of the best one and stays."""
    limits = full_batches(make(SLO_S), line, 1000)[-300:]
    assert 0.85 * optimum(line) <= min(limits)
    assert max(limits) <= 1.15 * optimum(line)


@pytest.mark.parametrize("make", [AimdBatch, QuantileBatch])
@pytest.mark.parametrize("line", [CHEAP, DEAR])
def test_it_holds_under_noise(make, line):
    """Batches that take 5 % longer by chance, some 15 %, cost a fifth of the size at the most."""
    limits = full_batches(make(SLO_S), line, 2000, noise=0.05)[-500:]
    mean = sum(limits) / len(limits)
    assert 0.8 * optimum(line) <= mean <= 1.1 * optimum(line)
    assert 0.7 * optimum(line) <= min(limits)


@pytest.mark.parametrize("make", [AimdBatch, QuantileBatch])
@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_it_follows_a_model_that_changes(make, factor):
    """A model that becomes five times slower, or faster, is followed in 350 batches."""
    controller = make(SLO_S)
    full_batches(controller, DEAR, 500)
    changed = (DEAR[0] * factor, DEAR[1])
    limits = full_batches(controller, changed, 400)[-50:]
    assert 0.8 * optimum(changed) <= min(limits)
    assert max(limits) <= 1.2 * optimum(changed)


@pytest.mark.parametrize("make", [AimdBatch, QuantileBatch])
def test_it_comes_back_after_a_stall(make):
    """A phase in which every batch takes longer than the objective is forgotten quickly."""
    controller = make(SLO_S)
    full_batches(controller, CHEAP, 500)
    full_batches(controller, (0.0, 0.05), 300)
    assert controller.limit < 200
    full_batches(controller, CHEAP, 500)
    assert controller.limit >= 0.65 * optimum(CHEAP)


def test_the_regression_uses_sizes_that_differ():
    """With batches of many sizes the line is fitted, so that the constant part is known."""
    controller = QuantileBatch(SLO_S)
    full_batches(controller, DEAR, 200)
    random = Random(2)
    for _ in range(300):
        size = random.randint(1, controller.limit)
        controller.on_batch(size, DEAR[0] * size + DEAR[1])
    assert controller.limit == pytest.approx(optimum(DEAR), rel=0.1)


def test_rare_stalls_do_not_end_the_regressions_batches():
    """Where 2 % of the batches stall for longer than the target, no size would meet it."""
    controller, random = QuantileBatch(SLO_S), Random(5)
    for _ in range(3000):
        size = random.choice([controller.limit, controller.limit, 1])
        stall_s = 0.015 if random.random() < 0.02 else 0.0
        controller.on_batch(size, DEAR[0] * size + DEAR[1] + stall_s)
    assert controller.limit >= 0.35 * optimum(DEAR)


def test_the_regression_needs_batches_near_the_limit():
    """While batches are short nothing is known of large ones, and the limit stays."""
    controller = QuantileBatch(SLO_S)
    limit = full_batches(controller, DEAR, 500)[-1]
    for _ in range(500):
        controller.on_batch(1, 0.001)
    assert controller.limit == limit


def test_a_line_is_fitted_to_a_percentile():
    """The 99th percentile's line lies above nearly all points, with the slope of the data."""
    random = Random(3)
    points = [(x, 0.5 * x + 3 + random.random()) for x in range(1, 201)]
    slope, constant = fit_line(points, 0.99)
    assert slope == pytest.approx(0.5, rel=0.02)
    assert constant == pytest.approx(4, rel=0.1)
    assert fit_line([(x, 7.0 - x) for x in range(1, 7)], 0.99)[0] < 0.01
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_version_says_which_controller():
    """`max_batch` fixes the size; else `batching` chooses."""

    def made(**options):
        version = ModelVersion(model="m", version="1", input_type=InputType.DOUBLES, **options)
        return type(new_controller(version, SLO_S))

    assert made() is AimdBatch
    assert made(batching=Batching.QUANTILE) is QuantileBatch
    assert made(max_batch=4, batching=Batching.QUANTILE) is FixedBatch

"""How the batch size controllers learn."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servd.datatypes import Batching, InputType, ModelVersion
from servd.engine.batching import (
    HEADROOM,
    MAX_LIMIT,
    AimdBatch,
    FixedBatch,
    QuantileBatch,
    Tried,
    fit_line,
    new_controller,
    quantile,
)


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
    assert made(max_batch=0) is AimdBatch
    assert made(max_batch=1) is FixedBatch
    assert made(batching=Batching.QUANTILE) is QuantileBatch
    assert made(max_batch=4, batching=Batching.QUANTILE) is FixedBatch


# --- the regression by itself: a controller that has ended exploring, and batches in its window ---

TARGET_S = SLO_S * HEADROOM
STEEP = (0.0001, 0.004)
"""Two thirds of the target go into the constant part; 20 queries fit."""


def settled(limit):
    """Return a controller of that size that has ended exploring."""
    controller = QuantileBatch(SLO_S)
    controller._explorer = None
    controller.limit = limit
    return controller


def learn(controller, batches):
    """Have the controller learn from batches of (size, seconds)."""
    for size, latency_s in batches:
        controller.on_batch(size, latency_s)


def on_line(line, sizes):
    """Return batches of these sizes that a model of that line computes."""
    return [(size, line[0] * size + line[1]) for size in sizes]


def test_exploring_ends_with_the_first_batch_over_the_target():
    """It grows as AIMD does until a full batch takes too long, and never again in that way."""
    controller = QuantileBatch(SLO_S)
    assert controller.limit == 1
    learn(controller, [(1, TARGET_S / 3), (3, TARGET_S * 0.7), (5, TARGET_S), (5, TARGET_S * 0.95)])
    assert controller.limit == 5
    learn(controller, [(2, TARGET_S * 2)])  # not full, so it says nothing of the size
    learn(controller, [(5, TARGET_S / 3)])
    assert controller.limit == 7
    learn(controller, [(7, TARGET_S * 1.01)])
    assert controller.limit == 6
    learn(controller, [(6, TARGET_S / 3)])
    assert controller.limit == 6


def test_exploring_ends_at_a_single_query_too():
    """A model that takes too long for one query has nothing to explore until it is fitted again."""
    controller = QuantileBatch(SLO_S)
    learn(controller, [(1, TARGET_S * 2), (1, TARGET_S / 3)])
    assert controller.limit == 1


def test_the_line_says_the_size_where_sizes_differ():
    """With sizes enough the constant part is known; in proportion to the latency 15 would fit."""
    controller = settled(19)
    learn(controller, on_line(STEEP, [*range(4, 20)]))
    assert controller.limit == pytest.approx(optimum(STEEP), abs=1)


def test_regressions_come_every_sixteen_batches():
    """Fifteen batches change nothing, and neither do the fifteen after a regression."""
    controller = settled(15)
    sizes = [*range(1, 16)]
    learn(controller, on_line(STEEP, sizes))
    assert controller.limit == 15
    learn(controller, on_line(STEEP, [15]))
    assert controller.limit == pytest.approx(optimum(STEEP), abs=1)
    controller.limit = 15
    learn(controller, on_line(STEEP, sizes))
    assert controller.limit == 15
    learn(controller, on_line(STEEP, [15]))
    assert controller.limit > 15


@pytest.mark.parametrize(
    ("sizes", "is_line"),
    [
        ([8, 9, 10, 12] * 4, True),  # four sizes, the largest just half again the smallest
        ([8, 10, 12, 12] * 4, False),  # three sizes
        ([9, 10, 11, 12, 13] * 3 + [13], False),  # many, but close together
    ],
)
def test_a_line_needs_sizes_that_differ(sizes, is_line):
    """Of fewer sizes, or closer ones, noise would make the slope; then the latency's share says."""
    controller = settled(12)
    learn(controller, on_line(STEEP, sizes))
    # On the line 20 fit, of which one regression reaches 19; in proportion the slowest of those
    # that are compared would allow 10 at the most, and the median half of 15.
    assert (controller.limit == 19) is is_line
    assert (controller.limit <= 12) is not is_line


@pytest.mark.parametrize("line", [(0.000001, 0.0), (0.0, 0.0)])
def test_one_regression_raises_by_half_at_most(line):
    """A model that became far quicker, or takes no time at all, is followed step by step."""
    controller = settled(40)
    learn(controller, on_line(line, [40] * 16))
    assert controller.limit == 61
    learn(controller, on_line(line, [61] * 16))
    assert controller.limit == 92


def test_one_regression_lowers_by_a_third_at_most():
    """A model that became far slower is followed step by step, down to one query a batch."""
    controller = settled(90)
    slow = (0.05, 0.0)
    learn(controller, on_line(slow, [90] * 16))
    assert controller.limit == 60
    learn(controller, on_line(slow, [60] * 16))
    assert controller.limit == 40
    for _ in range(20):
        learn(controller, on_line(slow, [controller.limit] * 16))
    assert controller.limit == 1


def test_in_proportion_the_slow_percentile_counts():
    """Of batches of one size the slow ones decide, not the usual ones."""
    controller = settled(30)
    learn(controller, [(30, 0.0055)] * 15 + [(30, 0.0072)])
    assert controller.limit == 25  # 30 x 6 ms / 7.2 ms


def test_rare_stalls_push_to_half_of_the_usual_at_most():
    """Where a stall takes longer than the target, half of what the median batch allows stays."""
    controller = settled(30)
    learn(controller, [(30, 0.006)] * 15 + [(30, 0.5)])
    assert controller.limit == 20
    controller.limit = 20
    learn(controller, [(20, 0.004)] * 15 + [(20, 0.5)])
    assert controller.limit == 15


def test_small_batches_do_not_hide_the_rate_of_large_ones():
    """Only batches of two thirds of the largest are compared, as the constant part weighs less."""
    controller = settled(30)
    # At a single query the rate is 5 ms; at 20 and 30 it is 0.2 ms, which allows 30.
    learn(controller, [(30, 0.006)] * 8 + [(20, 0.004)] * 4 + [(1, 0.005)] * 4)
    assert controller.limit == 30
    # Just two thirds counts: here it is the slowest.
    controller = settled(30)
    learn(controller, [(30, 0.006)] * 15 + [(20, 0.005)])
    assert controller.limit == 24


@pytest.mark.parametrize(("largest", "limit"), [(20, 24), (19, 30)])
def test_nothing_is_learned_of_sizes_that_were_not_seen(largest, limit):
    """While the largest batch was below two thirds of the size the size stays."""
    controller = settled(30)
    learn(controller, [(largest, largest * 0.00025)] * 16)
    assert controller.limit == limit


def test_what_the_model_was_like_before_is_forgotten():
    """Stalls leave the window after 128 batches."""
    controller = settled(30)
    learn(controller, [(30, 0.5)] * 3 + [(30, 0.006)] * 125)
    assert controller.limit < 30
    controller.limit = 30
    learn(controller, [(30, 0.006)] * 16)
    assert controller.limit == 30


def test_a_size_beyond_the_bound_is_not_reached():
    """A model that takes no time at all is given the largest batch and no more."""
    controller = settled(MAX_LIMIT - 1)
    learn(controller, [(MAX_LIMIT - 1, 0.0)] * 16)
    assert controller.limit == MAX_LIMIT


def test_aimd_holds_between_nine_tenths_of_the_target_and_the_target():
    """At nine tenths of the target it grows no more; just at the target it does not shrink."""
    for share, limit in ((0.4999, 112), (0.5, 102), (0.8999, 102), (0.9, 100), (1.0, 100)):
        controller = AimdBatch(SLO_S)
        controller.limit = 100
        controller.on_batch(100, controller._target_s * share)
        assert controller.limit == limit, share


def test_a_controller_says_below_what_it_grows():
    """Half the target for those that learn; a fixed size never grows."""
    assert FixedBatch(7).growing_below_s == 0
    assert AimdBatch(SLO_S).growing_below_s == pytest.approx(TARGET_S / 2)
    assert QuantileBatch(SLO_S).growing_below_s == pytest.approx(TARGET_S / 2)


def test_a_line_that_does_not_rise_is_none():
    """Batches that took no time have no slope; two that did have their own."""
    assert fit_line([(1, 0.0), (2, 0.0)], 0.99) is None
    slope, constant = fit_line([(1, 3.0), (5, 11.0)], 0.99)
    assert slope == pytest.approx(2, rel=0.01)
    assert constant == pytest.approx(1, abs=0.05)


def pinball(points, slope, constant, share):
    """Return the loss of a line as the books have it (Koenker and Bassett 1978)."""
    rests = [y - slope * x - constant for x, y in points]
    return sum(share * rest if rest > 0 else (share - 1) * rest for rest in rests)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0.1, 9)), min_size=3, max_size=12),
    st.sampled_from([0.3, 0.5, 0.8]),
)
def test_no_line_through_two_points_is_better(noisy, share):
    """The best line passes through two of the points, so no such line may have a smaller loss."""
    points = [(x, 0.2 * x + rest) for x, rest in noisy]
    steepest = max(y / x for x, y in points)
    fitted_slope, fitted_constant = fit_line(points, share)
    for i, (x, y) in enumerate(points):
        for other_x, other_y in points[:i]:
            slope = (y - other_y) / (x - other_x) if x != other_x else 0
            if 0 <= slope <= steepest:
                grain = steepest * (2 / 3) ** 16 * sum(x for x, _ in points)
                other = pinball(points, slope, y - slope * x, share)
                assert pinball(points, fitted_slope, fitted_constant, share) <= other + grain


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.24, 1.0), (0.25, 2.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_a_quantile_is_one_of_the_values(share, expected):
    """The values below it are that share of all; the largest one is the last."""
    assert quantile([4.0, 2.0, 3.0, 1.0], share) == expected


@pytest.mark.parametrize(
    ("several", "took_ms", "limit"),
    [(16, 5.0, 64), (16, 16.0, 30), (16, 30.0, 16), (16, 300.0, 1), (16, 4000.0, 1), (2, 1.0, 60)],
)
def test_the_first_limit_is_what_the_test_has_shown(several, took_ms, limit):
    """As if a call's time grew with its inputs; at most 64, and none is smaller than 1."""
    tried = Tried.of({"several": several, "several_ms": took_ms})
    for make in (AimdBatch, QuantileBatch):
        controller = make(0.1, tried)
        assert controller.limit == limit
        assert make(0.1).limit == 1
        controller.on_batch(limit, 0.001)
        assert controller.limit > limit


@pytest.mark.parametrize(
    "said",
    [
        *(None, [], {}, {"several": 16}, {"several_ms": 3.0}, {"several": "16", "several_ms": 3}),
        *({"several": 16, "several_ms": None}, {"several": 0, "several_ms": 1.0}),
        *({"several": 16, "several_ms": 0}, {"several": 16, "several_ms": float("nan")}),
    ],
)
def test_what_a_replica_has_not_said_is_not_known(said):
    """Nor is what cannot be: the sizes begin with 1 then."""
    assert Tried.of(said) is None


def test_a_size_that_was_given_is_not_begun_elsewhere():
    """What was tried is for sizes that adapt."""
    version = ModelVersion(model="m", version="1", input_type=InputType.DOUBLES, max_batch=3)
    assert new_controller(version, 0.1, Tried(16, 0.001)).limit == 3

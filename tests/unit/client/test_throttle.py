"""Adaptive throttling, by a clock and by chances of the test's own."""

import pytest

from servd.client.throttle import WINDOW_S, K, Throttle


class Clock:
    """Goes on when it is told."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        """Return the time."""
        return self.now_s


def answered(throttle, *, accepted, refused):
    """Have so many queries answered."""
    for _ in range(accepted):
        throttle.on_answer(is_accepted=True)
    for _ in range(refused):
        throttle.on_answer(is_accepted=False)


def test_many_at_once_are_not_held_against_each_other():
    """Of those that are not answered yet nothing is known."""
    throttle = Throttle(Clock(), lambda: 0.0)
    assert not any(throttle.is_refused() for _ in range(1000))


@pytest.mark.parametrize(("accepted", "refused"), [(100, 0), (100, 100), (1, 1), (0, 0)])
def test_up_to_half_refused_all_are_sent(accepted, refused):
    """K is two."""
    throttle = Throttle(Clock(), lambda: 0.0)
    answered(throttle, accepted=accepted, refused=refused)
    assert not throttle.is_refused()


@pytest.mark.parametrize(("accepted", "refused"), [(0, 1), (10, 90), (0, 1000)])
def test_the_probability_is_the_books(accepted, refused):
    """max(0, (requests - K * accepts) / (requests + 1))."""
    requests = accepted + refused
    expected = (requests - K * accepted) / (requests + 1)
    for chance, is_refused in ((expected - 1e-9, True), (expected, False)):
        throttle = Throttle(Clock(), lambda chance=chance: chance)
        answered(throttle, accepted=accepted, refused=refused)
        assert throttle.is_refused() is is_refused


def test_what_is_not_sent_counts_as_wanted():
    """So a client that goes on sends ever less, while some are always sent."""
    chances = iter([0.0] * 50 + [0.9999])
    throttle = Throttle(Clock(), lambda: next(chances))
    answered(throttle, accepted=0, refused=1)
    assert all(throttle.is_refused() for _ in range(50))
    assert throttle.requests == 51
    assert not throttle.is_refused()


def test_it_is_forgotten_after_two_minutes():
    """What was long ago says nothing of now."""
    clock = Clock()
    throttle = Throttle(clock, lambda: 0.0)
    answered(throttle, accepted=0, refused=100)
    clock.now_s = WINDOW_S / 2
    answered(throttle, accepted=20, refused=0)
    assert throttle.is_refused()
    clock.now_s = WINDOW_S + 1
    assert not throttle.is_refused()
    assert (throttle.requests, throttle.accepts) == (21, 20)
    clock.now_s = WINDOW_S * 3
    assert not throttle.is_refused()
    assert (throttle.requests, throttle.accepts) == (0, 0)

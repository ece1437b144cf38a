"""Batch size controllers: how many queries one predict call may hold. Pure; used by slot.py.

A controller holds `limit` and learns from what each batch took in the replica. Time in the daemon
is not its concern: a daemon that is short of time would shrink the batches, and small batches cost
the daemon more time still. Nothing is ever padded.
"""

from collections import deque
from typing import Any, NamedTuple, Protocol

from servd.datatypes import Batching, ModelVersion

GROWTH = 2
"""Additive increase in queries (Clipper's first implementation; NSDI'17 §4.3.1)."""

SURGE = 8
"""Far below the target the size grows by an eighth instead, where that is more: a size that shrank
for a moment is back after dozens of batches, and one step cannot overshoot."""

BACK_OFF = 0.9
"""Multiplicative decrease: the paper backs off by 10 %."""

HEADROOM = 0.3
"""Share of the latency objective that one batch may take in the replica.

A query that arrives just after a batch left waits for a place in flight and then for the batch
ahead of its own: three computations, which leave a tenth of the objective to everything else.
"""

HOLD = 0.9
"""Between this share of the target and the target the size is kept (NSDI'17)."""

MAX_LIMIT = 8192
"""Beyond this, larger batches gained nothing for the cheapest model measured."""

QUANTILE = 0.99
"""The percentile of the latency that the regression predicts (NSDI'17 §4.3.1)."""

WINDOW = 128
"""Batches that the regression looks at: what the model was like before them is forgotten."""

REFIT_EVERY = 16
"""Batches between two regressions, each of which takes as long as some fifty queries."""

FEWEST_SIZES = 4
"""Distinct sizes before a slope means anything."""

SPREAD = 1.5
"""The largest of them over the smallest: closer together, noise would pass for a slope."""

STEP = 1.5
"""The most that one regression may change the size by."""


FIRST_LIMIT = 64
"""The most inputs that a first batch holds: one that was never seen is not to be large."""

LEAST = 0.5
"""Share of the size that the median batch would allow, below which rare stalls cannot push it."""


class BatchController(Protocol):
    """What a slot asks of a controller."""

    limit: int
    """The most queries that the next batch may hold; at least 1."""

    growing_below_s: float
    """While a full batch takes less, `limit` is on its way up and says nothing of the capacity."""

    def on_batch(self, size: int, latency_s: float) -> None:
        """Learn from a batch of `size` queries that took `latency_s` in the replica."""


class Tried(NamedTuple):
    """What one call with several inputs took when the replica tested its model."""

    inputs: int
    took_s: float

    @staticmethod
    def of(test: Any) -> "Tried | None":
        """Return what a replica has said of its test (docs/protocol.md, STATE), if it did."""
        several = test.get("several") if isinstance(test, dict) else None
        took_ms = test.get("several_ms") if isinstance(test, dict) else None
        if not isinstance(several, int) or not isinstance(took_ms, int | float):
            return None
        return Tried(several, took_ms / 1000) if several > 0 and took_ms > 0 else None


def new_controller(
    version: ModelVersion, slo_s: float, tried: Tried | None = None
) -> BatchController:
    """Return the controller that a version was deployed with, for a latency objective."""
    if version.max_batch > 0:
        return FixedBatch(version.max_batch)
    if version.batching is Batching.QUANTILE:
        return QuantileBatch(slo_s, tried)
    return AimdBatch(slo_s, tried)


def first_limit(slo_s: float, tried: Tried | None) -> int:
    """Return the size to begin with: 1, or what a call that was tried says of more.

    A call for a DataFrame takes milliseconds whatever is in it: begun with 1, the first batch of
    inputs that comes would be late before the size has grown. Its time is taken to grow with the
    inputs, the worst that it does, so no first batch takes longer than the target.
    """
    if tried is None or tried.took_s <= 0:
        return 1
    inside = int(tried.inputs * slo_s * HEADROOM / tried.took_s)
    return max(1, min(inside, FIRST_LIMIT))


class FixedBatch:
    """A size given by the user: a maximum, sent as soon as one query waits."""

    __slots__ = ("growing_below_s", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.growing_below_s = 0.0

    def on_batch(self, size: int, latency_s: float) -> None:
        """Learn nothing: the size is fixed."""


class AimdBatch:
    """Additive increase, multiplicative decrease per replica (NSDI'17 §4.3.1).

    Only a full batch says that a larger one is wanted, and only a batch over the target that was
    itself at the limit says that the limit is too high; so neither an idle hour nor one slow
    single query moves it.
    """

    __slots__ = ("_hold_s", "_target_s", "growing_below_s", "limit")

    def __init__(self, slo_s: float, tried: Tried | None = None) -> None:
        self.limit = first_limit(slo_s, tried)
        self._target_s = slo_s * HEADROOM
        self._hold_s = self._target_s * HOLD
        self.growing_below_s = self._target_s / 2

    def on_batch(self, size: int, latency_s: float) -> None:
        """Grow after a full batch inside the target, shrink after one outside it."""
        if size < self.limit:
            return
        if latency_s < self.growing_below_s:
            self.limit = min(self.limit + max(GROWTH, self.limit // SURGE), MAX_LIMIT)
        elif latency_s < self._hold_s:
            self.limit = min(self.limit + GROWTH, MAX_LIMIT)
        elif latency_s > self._target_s:
            self.limit = max(1, int(self.limit * BACK_OFF))


class QuantileBatch:
    """Regression of the 99th percentile of the latency on the batch size (NSDI'17 §4.3.1).

    latency = slope · size + constant, so size = (target - constant) / slope. Until batches of
    enough sizes were seen the size explores as AIMD's does. Once it has settled, all sizes are
    nearly the same and tell no slope; the size then follows the latency in proportion, which for a
    line has the same fixed point.
    """

    __slots__ = ("_explorer", "_seen", "_target_s", "_until_refit", "growing_below_s", "limit")

    def __init__(self, slo_s: float, tried: Tried | None = None) -> None:
        self._explorer: AimdBatch | None = AimdBatch(slo_s, tried)
        self._seen: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._target_s = slo_s * HEADROOM
        self._until_refit = REFIT_EVERY
        self.growing_below_s = self._target_s / 2
        self.limit = self._explorer.limit

    def on_batch(self, size: int, latency_s: float) -> None:
        """Keep the batch in the window; fit the line again where it is time to."""
        self._seen.append((size, latency_s))
        if self._explorer is not None:
            self._explorer.on_batch(size, latency_s)
            self.limit = self._explorer.limit
            # The first decrease is the end of exploring: the target lies inside what was seen.
            if latency_s > self._target_s and size >= self.limit:
                self._explorer = None
        self._until_refit -= 1
        if self._until_refit <= 0:
            self._until_refit = REFIT_EVERY
            if self._explorer is None:
                self._refit()

    def _refit(self) -> None:
        """Set the size by the window; upwards only as far as full batches have shown."""
        largest = max(size for size, _ in self._seen)
        if largest * STEP < self.limit:
            return  # no batch was nearly full: nothing is known about that size
        line = fit_line(list(self._seen), QUANTILE) if self._has_spread() else None
        # Beside a large batch the constant part hides in a small one: only large ones are compared.
        rates = [y / x for x, y in self._seen if x * SPREAD >= largest]
        if line is None:
            wanted = self._size_at(quantile(rates, QUANTILE))
        else:
            slope, constant = line
            wanted = (self._target_s - constant) / slope
        # A stall that alone takes longer than the target is no reason for ever smaller batches.
        wanted = max(wanted, self._size_at(quantile(rates, 0.5)) * LEAST)
        wanted = min(max(wanted, self.limit / STEP), self.limit * STEP + 1)
        self.limit = max(1, min(int(wanted), MAX_LIMIT))

    def _size_at(self, seconds_each: float) -> float:
        return self._target_s / seconds_each if seconds_each > 0 else MAX_LIMIT

    def _has_spread(self) -> bool:
        sizes = {size for size, _ in self._seen}
        return len(sizes) >= FEWEST_SIZES and max(sizes) >= SPREAD * min(sizes)


def quantile(values: list[float], share: float) -> float:
    """Return the smallest of the values that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def fit_line(points: list[tuple[int, float]], share: float) -> tuple[float, float] | None:
    """Return slope and constant of the quantile regression of y on x, None where it does not rise.

    Its loss, the sum of the residuals weighted `share` above the line and 1 - share below
    (Koenker and Bassett 1978), is convex in the slope once the constant is the quantile of what
    the slope leaves; so a search by thirds finds the minimum.
    """
    low, high = 0.0, max(y / x for x, y in points)
    for _ in range(16):
        third = (high - low) / 3
        if _loss(points, low + third, share) <= _loss(points, high - third, share):
            high -= third
        else:
            low += third
    slope = (low + high) / 2
    constant = quantile([y - slope * x for x, y in points], share)
    return (slope, constant) if slope > 0 else None


def _loss(points: list[tuple[int, float]], slope: float, share: float) -> float:
    rests = [y - slope * x for x, y in points]
    constant = quantile(rests, share)
    above = sum(rest - constant for rest in rests if rest > constant)
    return above - (1 - share) * (sum(rests) - constant * len(rests))

"""Which columns a fitted part has seen nothing but whole numbers in. Used by survey.py.

scikit-learn keeps no dtypes, but sums, extremes and thresholds; what they tell is good enough for
an example, and for no more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from model_runtime.failure import MODEL_ERRORS
from model_runtime.older import zip

_NEAR: Final = 1e-6
_MAX_TREES: Final = 20


def fitted_on(part: Any, names: Sequence[str]) -> list[str]:
    """Return the columns whose values were whole, as far as a part tells."""
    try:
        told = _told_by(part, len(names))
    except MODEL_ERRORS:  # of another release, or a class of the author's that is called alike
        return []
    return [name for name, is_whole in zip(names, told) if is_whole]


def _told_by(part: Any, count: int) -> Iterable[bool]:
    if hasattr(part, "data_min_") and hasattr(part, "data_max_"):
        pairs = zip(part.data_min_, part.data_max_, strict=True)
        return (_is_whole(low) and _is_whole(high) for low, high in pairs)
    if getattr(part, "mean_", None) is not None and getattr(part, "var_", None) is not None:
        return _of_moments(part)
    trees = [tree for each in _estimators(part) for tree in [getattr(each, "tree_", None)] if tree]
    return _of_thresholds(trees, count) if trees else ()


def _of_moments(part: Any) -> Iterator[bool]:
    """Yield of each column whether the sums of its values and of their squares are whole."""
    counts = part.n_samples_seen_
    for at, (mean, var) in enumerate(zip(part.mean_, part.var_, strict=True)):
        count = counts[at] if hasattr(counts, "__len__") else counts
        yield _is_whole(mean * count) and _is_whole((var + mean * mean) * count)


def _estimators(part: Any) -> list[Any]:
    inner = getattr(part, "estimators_", None)
    if inner is None:
        return [part]
    return list(inner.flat if hasattr(inner, "flat") else inner)[:_MAX_TREES]


def _of_thresholds(trees: Iterable[Any], count: int) -> list[bool]:
    """Return of each column whether trees split it, and halfway between whole numbers alone."""
    seen, is_whole = [False] * count, [True] * count
    for tree in trees:
        for column, threshold in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True):
            if column >= 0:
                seen[column] = True
                is_whole[column] &= _is_whole(2 * threshold)
    return [each and whole for each, whole in zip(seen, is_whole, strict=True)]


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) <= _NEAR

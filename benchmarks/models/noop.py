"""W4: no work at all, whatever the input."""

from collections.abc import Sized


def noop(xs: Sized) -> list[int]:
    """Return 0 for each row."""
    return [0] * len(xs)

"""W8: a model that takes pictures and looks at nothing but their size and end."""

from collections.abc import Sequence


def picture(pictures: Sequence[bytes]) -> list[int]:
    """Return the length of each, and its last byte."""
    return [len(each) * 256 + each[-1] for each in pictures]

"""PyTorch's files: zips, in which all lies in one folder, and what there was before those."""

from collections.abc import Sequence
from typing import Final

PICKLE: Final = "data.pkl"
"""What torch.save and torch.jit.save write: the objects, without the numbers of their tensors."""
PROGRAM: Final = "archive_format"
"""What torch.export.save writes, since torch 2.7."""
OLD_HEAD: Final = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""What torch.save began with before it wrote zips: a pickle of a number that nobody else has."""
OLD_PICKLES: Final = 4
"""Such a file begins with pickles of that number, a version, the machine, and the object."""


def folder_of(names: Sequence[str], file: str) -> str | None:
    """Return the folder of a zip in which a file lies; None where there is no such file."""
    for name in names:
        folder, _, last = name.partition("/")
        if last == file:
            return folder
    return None

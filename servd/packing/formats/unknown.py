"""What is said of files and folders that are of no format. Used by table.py."""

from collections.abc import Sequence
from typing import Final

from servd.errors import TargetError
from servd.packing.formats.base import Format
from servd.packing.formats.peek import Peek
from servd.packing.targets import FORMS

_MAGICS: Final = (
    (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer: git lfs pull gets the file itself"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstandard"),
    (b"PK", "a zip archive"),
)


def refusal(peek: Peek, formats: Sequence[Format]) -> TargetError:
    """Return the error that says what a file or folder is which is of none of some formats."""
    if peek.is_folder:
        return _of_folder(peek, formats)
    if not peek.head:
        return TargetError(f"{peek.name} is empty", hint=FORMS)
    if peek.is_zip and not peek.names:
        return TargetError(
            f"{peek.name} is damaged: it begins as a zip archive, which files of PyTorch, Keras "
            "and skops are, and its end is missing",
            hint="copy or download it again",
        )
    for magic, what in _MAGICS:
        if peek.head.startswith(magic):
            return TargetError(f"{peek.name} is {what}, and no model that servd knows", hint=FORMS)
    return TargetError(f"{peek.name} is of no format of models that servd knows", hint=FORMS)


def _of_folder(peek: Peek, formats: Sequence[Format]) -> TargetError:
    """Return the error of a folder, which names the models in it."""
    files = [path for path in peek.entries if path.is_file()]
    models = [path for path in files if any(each.detect(Peek(path)) for each in formats)]
    if not models:
        return TargetError(f"{peek.name} is a folder of no format that servd knows", hint=FORMS)
    names = ", ".join(path.name for path in models[:8])
    ways = " or ".join(f"{peek.name}/{path.name}" for path in models[:8])
    return TargetError(f"{peek.name} is a folder with {names}", hint=f"servd deploy {ways}")

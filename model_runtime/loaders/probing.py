"""Finds out by trying what a part of a model takes whose code is its author's. Used by fitted.py.

What the part raises tells nothing, what it takes does: a part that takes a date but neither a
number nor a text was fitted on dates.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Final

from model_runtime.failure import MODEL_ERRORS
from model_runtime.frames import BOOL, CATEGORY, DATE, FLOAT, INT, TEXT, VALUE, Dtype
from model_runtime.loaders.survey import Opaque

_NUMBER: Final = 1.0
_WORD: Final = "test"
_DAY: Final = "2024-01-31"
_SAMPLES: Final = ("number", "date", "word", "day")
_MAX_TRIED_TOGETHER: Final = 3
_MAX_VARIED: Final = 64

Kinds = dict[str, str]


def tried(opaque: Opaque, known: Mapping[str, Dtype]) -> dict[str, Dtype]:
    """Return the dtypes of the columns of a part that are not `known`, as far as trying tells."""
    open_names = [name for name in opaque.names if name not in known]
    base = _base(opaque, open_names, known)
    if base is None:
        return {}
    found = {}
    for name in open_names[:_MAX_VARIED]:
        taken = frozenset(
            kind
            for kind in _SAMPLES
            if kind == base[name] or _takes(opaque, base | {name: kind}, known)
        )
        found[name] = _dtype(taken)
    return found


def _base(opaque: Opaque, names: Sequence[str], known: Mapping[str, Dtype]) -> Kinds | None:
    """Return kinds of columns with which the part works; None where none were found."""
    if len(names) <= _MAX_TRIED_TOGETHER:
        together = [
            dict(zip(names, each, strict=True)) for each in product(_SAMPLES, repeat=len(names))
        ]
    else:
        together = [dict.fromkeys(names, kind) for kind in _SAMPLES]
    return next((kinds for kinds in together if _takes(opaque, kinds, known)), None)


def _dtype(taken: frozenset[str]) -> Dtype:
    """Return the dtype of a column that takes samples of these kinds."""
    if "number" in taken and "word" in taken:
        return Dtype(VALUE)
    if "word" in taken:
        return Dtype(TEXT)
    if "date" in taken or "day" in taken:
        # What reads numbers, and no texts but dates, reads dates of any kind.
        is_date = "date" in taken and ("number" not in taken or "day" in taken)
        return Dtype(DATE) if is_date or "day" in taken else Dtype(FLOAT)
    return Dtype(FLOAT)


def _takes(opaque: Opaque, kinds: Kinds, known: Mapping[str, Dtype]) -> bool:
    """Tell whether a part transforms a table of one row whose columns are of these kinds."""
    import pandas as pd  # noqa: PLC0415  (only where a model was fitted on a table)

    samples: dict[str, Callable[[], Any]] = {
        "number": lambda: [_NUMBER],
        "date": lambda: pd.to_datetime([_DAY]),
        "word": lambda: [_WORD],
        "day": lambda: [_DAY],
    }
    columns = {
        name: samples[kinds[name]]() if name in kinds else [_sample(known[name])]
        for name in opaque.names
    }
    try:
        frame = pd.DataFrame(columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = getattr(opaque.part, "transform", None) or opaque.part.predict
            call(frame[opaque.names[0]] if opaque.is_series else frame)
    except MODEL_ERRORS:
        return False
    return True


def _sample(dtype: Dtype) -> Any:
    """Return a value of a column whose dtype is known."""
    if dtype.kind == CATEGORY:
        return dtype.categories[0]
    return {FLOAT: _NUMBER, INT: 1, BOOL: True, DATE: _DAY}.get(dtype.kind, _WORD)

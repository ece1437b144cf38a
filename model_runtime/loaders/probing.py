"""Finds out by trying what a part of a model takes whose code is its author's. Used by fitted.py.

What the part raises tells nothing, what it takes does: a part that takes a date but neither a
number nor a text was fitted on dates.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final

from model_runtime.failure import MODEL_ERRORS
from model_runtime.frames import (
    BOOL,
    CATEGORY,
    DATE,
    FLOAT,
    INT,
    NUMERIC,
    TEXT,
    VALUE,
    Dtype,
    frame_view,
)
from model_runtime.inputs import Batch
from model_runtime.loaders.column import Column
from model_runtime.loaders.survey import Opaque
from model_runtime.older import zip
from model_runtime.protocol import INPUT_TYPE_CODES
from model_runtime.signature import Signature

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
    frame = _frame(opaque, base, known)
    for name in open_names[:_MAX_VARIED]:
        taken = frozenset(
            kind
            for kind in _SAMPLES
            if kind == base[name] or _takes(opaque, _varied(frame, name, kind))
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
    return next((kinds for kinds in together if _takes(opaque, _frame(opaque, kinds, known))), None)


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


def _made_of(kind: str) -> Any:
    """Return a column of one row that is a sample of a kind."""
    import pandas as pd  # noqa: PLC0415  (only where a model was fitted on a table)

    made: dict[str, Callable[[], Any]] = {
        "number": lambda: [_NUMBER],
        "date": lambda: pd.to_datetime([_DAY]),
        "word": lambda: [_WORD],
        "day": lambda: [_DAY],
    }
    return made[kind]()


def _frame(opaque: Opaque, kinds: Kinds, known: Mapping[str, Dtype]) -> Any:
    """Return a table of one row with a part's columns, which are of these kinds."""
    import pandas as pd  # noqa: PLC0415  (as above)

    return pd.DataFrame(
        {
            name: _made_of(kinds[name]) if name in kinds else [_sample(known[name])]
            for name in opaque.names
        }
    )


def _varied(frame: Any, name: str, kind: str) -> Any:
    """Return a copy with another column: to make a table of thousands anew takes a while."""
    varied = frame.copy()
    varied[name] = _made_of(kind)
    return varied


def _takes(opaque: Opaque, frame: Any) -> bool:
    """Tell whether a part transforms a table."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = getattr(opaque.part, "transform", None) or opaque.part.predict
            call(frame[opaque.names[0]] if opaque.is_series else frame)
    except MODEL_ERRORS:
        return False
    return True


def null_in(names: Iterable[str], columns: Mapping[str, Column], call: Any) -> list[str]:
    """Return those of some columns that a model answers to where they are null.

    Such are asked that parts of its author's code get, which may fill in what is missing.
    """
    asked = sorted(name for name in names if not columns[name].takes_missing)[:_MAX_VARIED]
    # One call tells of all, or that the model does not even take the values that are made up here.
    if not asked or not _answers(call, columns, ()):
        return []
    if _answers(call, columns, asked):
        return asked
    return [name for name in asked if _answers(call, columns, (name,))]


def _answers(call: Any, columns: Mapping[str, Column], nulls: Container[str]) -> bool:
    """Tell whether a model has an answer to a table of one row with null in some columns."""
    import pandas as pd  # noqa: PLC0415  (only where a model was fitted on a table)

    dtypes = {name: column.dtype or Dtype(VALUE) for name, column in columns.items()}
    row = [None if name in nulls else _typical(column) for name, column in columns.items()]
    data = json.dumps(row).encode()
    view = frame_view(
        Signature(input_type="rows", fields={name: {} for name in dtypes}), dtypes=dtypes
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = call(view(Batch(INPUT_TYPE_CODES["rows"], b"", data, 1)))
        dense = made.toarray() if hasattr(made, "toarray") else made
        return not pd.DataFrame(dense).isna().to_numpy().any()
    except MODEL_ERRORS:
        return False


def _typical(column: Column) -> Any:
    """Return a value that a column takes."""
    return column.enum[0] if column.enum else _sample(column.dtype or Dtype(VALUE))


def _sample(dtype: Dtype) -> Any:
    """Return a value of a column whose dtype is known."""
    if dtype.kind == CATEGORY:
        return dtype.categories[0]
    return {FLOAT: _NUMBER, NUMERIC: _NUMBER, INT: 1, BOOL: True, DATE: _DAY}.get(dtype.kind, _WORD)

"""Outputs that are a table: one object a row, by its columns' names. Used by outputs.py.

pandas' and polars' tables are told by what they have: a model that does not use them need not
import them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_runtime import numpy_values
from model_runtime.numpy_values import is_scalar
from model_runtime.older import zip


def by_name(outputs: Any) -> list[dict[Any, Any]] | None:
    """Return the rows of a table, or of a dict of columns of one length; None of anything else."""
    if isinstance(outputs, Mapping):
        columns = {name: _values(column) for name, column in outputs.items()}
    elif callable(getattr(outputs, "to_dicts", None)):  # polars
        rows: list[dict[Any, Any]] = outputs.to_dicts()
        return rows
    elif callable(getattr(outputs, "items", None)) and hasattr(outputs, "iloc"):  # pandas
        columns = {name: _values(column) for name, column in outputs.items()}
        if len(columns) < len(outputs.columns):
            return None  # of two columns of one name one would be lost
    else:
        return None
    listed = [column for column in columns.values() if column is not None]
    if len(listed) < len(columns) or len(set(map(len, listed))) != 1:
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*listed, strict=True)]


def _values(column: Any) -> list[Any] | None:
    """Return the values of a column; None where it is none."""
    if isinstance(column, (list, tuple)):
        return list(column)
    if is_scalar(type(column)) or not hasattr(column, "tolist"):
        listed = column.to_list() if callable(getattr(column, "to_list", None)) else None
    else:
        listed = numpy_values.listed(column)
    return listed if isinstance(listed, list) else None

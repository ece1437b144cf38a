"""Batches of rows as tables: one pandas (or polars) DataFrame for all inputs of a batch.

Used by loaders for models that take named columns. A column is made of all its values at once, as
its dtype says; what does not fit is looked for, cell by cell, only once it has failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from model_runtime import rows
from model_runtime.inputs import Batch, View
from model_runtime.iso import datetime_of
from model_runtime.older import dataclass, zip
from model_runtime.refusals import InputError, UnfitRowsError, one_of, unlike
from model_runtime.signature import Schema, Signature

PANDAS: Final = "pandas"
POLARS: Final = "polars"

FLOAT: Final = "float"
NUMERIC: Final = "numeric"
"""Of numbers, or of bools, which are as good: floats in either case."""
INT: Final = "int"
BOOL: Final = "bool"
TEXT: Final = "text"
DATE: Final = "date"
CATEGORY: Final = "category"
LABEL: Final = "label"
"""Of texts, whole numbers or bools, each as it comes: categories that are not known."""
VALUE: Final = "value"
"""What comes, in the type that the library gives it."""

NAN: Final = math.nan
EXACT: Final = 1 << 53
"""Up to here floats have each whole number."""
_NONE: Final = type(None)
_KINDS: Final[dict[str, frozenset[type]]] = {
    FLOAT: frozenset({float, int, _NONE}),
    NUMERIC: frozenset({float, int, bool, _NONE}),
    INT: frozenset({int, _NONE}),
    BOOL: frozenset({bool, _NONE}),
    TEXT: frozenset({str, _NONE}),
    DATE: frozenset({str, _NONE}),
    LABEL: frozenset({str, int, bool}),
}
_WANTED: Final = {
    FLOAT: "a number",
    NUMERIC: "a number, true or false",
    INT: "a whole number of 64 bits",
    BOOL: "true or false",
    TEXT: "a text",
    LABEL: "a text, a whole number, true or false",
    DATE: "a date such as 2024-01-31 or 2024-01-31T08:30:00Z, of a year that pandas has",
}
_WORDS: Final = {
    FLOAT: "float_type",
    NUMERIC: "float_type",
    INT: "int_type",
    BOOL: "bool_type",
    TEXT: "string_type",
    DATE: "format",
    LABEL: "union",
    CATEGORY: "enum",
}
_UNFIT: Final = (ValueError, TypeError, OverflowError, KeyError)
"""What making a column raises where a value does not fit."""


@dataclass(frozen=True, slots=True)
class Dtype:
    """How a column is made of JSON values.

    `categories` are those of CATEGORY, in the order of their codes. `missing` is what null becomes
    in a column of objects: a model may have learnt None or NaN.
    """

    kind: str
    categories: tuple[Any, ...] = ()
    is_ordered: bool = False
    missing: Any = NAN


MakeColumn = Callable[[Sequence[Any], Dtype], Any]
Maker = Callable[[Mapping[str, tuple[Dtype, Sequence[Any]]], int], Any]


def dtype_of(schema: Schema) -> Dtype:
    """Return the dtype of a field of which only its schema is known."""
    types = schema.get("type", [])
    kinds = set(types if isinstance(types, list) else [types]) - {"null"}
    if kinds == {"string"}:
        return Dtype(DATE if schema.get("format") in ("date-time", "date") else TEXT)
    if kinds == {"integer"}:
        return Dtype(INT)
    if kinds and kinds <= {"integer", "number"}:
        return Dtype(FLOAT)
    return Dtype(BOOL if kinds == {"boolean"} else VALUE)


def frame_view(
    signature: Signature, kind: str = PANDAS, dtypes: Mapping[str, Dtype] | None = None
) -> View:
    """Return the view of batches of rows as one DataFrame, whose columns the fields name.

    `dtypes` are those that are known better than from the fields' schemas; where they name all
    fields, the columns have their order, and those that are no fields hold nothing.

    Raises:
        ImportError: the library is not installed here.
    """
    fields = signature.fields or {}
    known = {name: dtype_of(schema) for name, schema in fields.items()} | dict(dtypes or {})
    order = list(dtypes) if dtypes and dtypes.keys() >= fields.keys() else list(fields)
    place = {name: at for at, name in enumerate(fields)}
    is_whole = len(order) == len(fields)
    make: Maker = _Polars() if kind == POLARS else _Pandas()

    def view(batch: Batch) -> Any:
        values = rows.parsed(batch.lengths, batch.data, batch.count)
        columns = _columns(values, len(fields))
        if not is_whole:
            nothing = (None,) * batch.count
            columns = [*columns, nothing]
        return make(
            {name: (known[name], columns[place.get(name, -1)]) for name in order}, batch.count
        )

    return view


def _columns(values: list[list[Any]], width: int) -> list[tuple[Any, ...]]:
    """Return the columns of rows that have `width` values each."""
    sizes = set(map(len, values))
    if sizes != {width}:
        raise ValueError(f"a row has {min(sizes - {width})} values, this model takes {width}")
    return list(zip(*values, strict=True))


class _Pandas:
    """Makes pandas' tables, all with the same columns."""

    def __init__(self) -> None:
        import numpy as np  # noqa: PLC0415  (a replica of a model without tables lacks them)
        import pandas as pd  # noqa: PLC0415

        self._np: Any = np
        self._pd: Any = pd
        self._is_third = int(pd.__version__.partition(".")[0]) >= 3
        self._text = pd.api.types.pandas_dtype("str") if self._is_third else None
        self._labels: Any = None
        self._makers: dict[str, MakeColumn] = {
            FLOAT: self._floats,
            NUMERIC: self._floats,
            INT: self._integers,
            BOOL: self._booleans,
            TEXT: self._texts,
            DATE: self._dates,
            CATEGORY: self._categories,
            LABEL: lambda values, dtype: self._objects(values, dtype.missing),
            VALUE: self._whatever,
        }

    def __call__(self, columns: Mapping[str, tuple[Dtype, Sequence[Any]]], count: int) -> Any:
        made = _made(columns, self._make)
        if self._labels is None:
            self._labels = self._pd.Index(list(columns))
        # Columns need not lie together: models that want them so copy them in any case.
        rows = self._pd.RangeIndex(count)
        frame = self._pd.DataFrame(dict(enumerate(made.values())), index=rows, copy=False)
        frame.columns = self._labels  # an index of texts takes longer to make than the rest
        return frame

    def _make(self, values: Sequence[Any], dtype: Dtype) -> Any:
        return self._makers[dtype.kind](values, dtype)

    def _objects(self, values: Sequence[Any], missing: Any) -> Any:
        made = self._np.empty(len(values), object)
        made[:] = [missing if value is None else value for value in values]
        return self._pd.Series(made, dtype=object)

    def _floats(self, values: Sequence[Any], dtype: Dtype) -> Any:
        del dtype
        return self._np.array(values, self._np.float64)  # of None it makes NaN

    def _integers(self, values: Sequence[Any], dtype: Dtype) -> Any:
        # As in a table that was read from a file: where something is missing they are floats.
        if None in values:
            _check_exact(values)
            return self._floats(values, dtype)
        return self._np.array(values, self._np.int64)

    def _booleans(self, values: Sequence[Any], dtype: Dtype) -> Any:
        if None in values:
            return self._objects(values, dtype.missing)
        return self._np.array(values, self._np.bool_)

    def _texts(self, values: Sequence[Any], dtype: Dtype) -> Any:
        if dtype.missing is None or not self._is_third:
            return self._objects(values, dtype.missing)
        return self._pd.array(values, dtype=self._text)

    def _dates(self, values: Sequence[Any], dtype: Dtype) -> Any:
        del dtype
        made = self._pd.to_datetime(list(values), format="ISO8601", utc=True).tz_localize(None)
        # Since pandas 3 the unit is as fine as the texts need: it is to be the same in each batch.
        return made.as_unit("us") if self._is_third else made

    def _categories(self, values: Sequence[Any], dtype: Dtype) -> Any:
        known = list(dtype.categories)
        code_of = {value: code for code, value in enumerate(known)} | {None: -1}
        codes = self._np.array([code_of[value] for value in values], self._np.intp)
        return self._pd.Categorical.from_codes(codes, known, ordered=dtype.is_ordered)

    def _whatever(self, values: Sequence[Any], dtype: Dtype) -> Any:
        del dtype
        made = self._pd.Series(list(values))
        if made.dtype.kind == "f" and (made.abs() >= EXACT).any():
            _check_exact(values)
        return made


class _Polars:
    """Makes polars' tables, whose columns have values that are missing, of any dtype."""

    def __init__(self) -> None:
        import polars as pl  # noqa: PLC0415  (as above)

        self._pl: Any = pl
        self._types = {
            FLOAT: pl.Float64,
            NUMERIC: pl.Float64,
            INT: pl.Int64,
            BOOL: pl.Boolean,
            TEXT: pl.String,
        }

    def __call__(self, columns: Mapping[str, tuple[Dtype, Sequence[Any]]], count: int) -> Any:
        del count
        return self._pl.DataFrame(_made(columns, self._series))

    def _series(self, values: Sequence[Any], dtype: Dtype) -> Any:
        try:
            return self._pl.Series(*self._of(values, dtype), strict=dtype.kind != VALUE)
        except self._pl.exceptions.PolarsError as error:
            raise ValueError(str(error)) from error

    def _of(self, values: Sequence[Any], dtype: Dtype) -> tuple[str, Sequence[Any], Any]:
        """Return the name, the values and the dtype of a series."""
        if dtype.kind == DATE:
            return "", list(map(_naive, values)), self._pl.Datetime("us")
        if dtype.kind == CATEGORY:
            return "", values, self._pl.Enum(list(dtype.categories))
        if dtype.kind in (VALUE, LABEL):
            return "", values, self._type_of_any(values)
        return "", values, self._types.get(dtype.kind)

    def _type_of_any(self, values: Sequence[Any]) -> Any:
        """Return Object of values that polars would change to have them in one column."""
        kinds = {*map(type, values)} - {_NONE}
        if kinds == {int, float}:
            _check_exact(values)
            return None
        return self._pl.Object if len(kinds) > 1 else None


def _naive(text: str | None) -> datetime | None:
    """Return a date of ISO text in UTC, without saying so."""
    if text is None:
        return None
    made = datetime_of(text)
    return made if made.tzinfo is None else made.astimezone(timezone.utc).replace(tzinfo=None)


def _made(columns: Mapping[str, tuple[Dtype, Sequence[Any]]], make: MakeColumn) -> dict[str, Any]:
    """Return each column, made of its values.

    Raises:
        UnfitRowsError: some of the values do not fit; each says its column, and what is wanted.
    """
    made = {}
    unfit = []
    for name, (dtype, values) in columns.items():
        try:
            made[name] = _column(values, dtype, make)
        except _UNFIT:
            unfit.append(name)
    if unfit:
        raise UnfitRowsError(_errors({name: columns[name] for name in unfit}, make))
    return made


def _column(values: Sequence[Any], dtype: Dtype, make: MakeColumn) -> Any:
    allowed = _KINDS.get(dtype.kind)
    if allowed is not None and not allowed.issuperset(map(type, values)):
        raise TypeError(dtype.kind)
    return make(values, dtype)


def _errors(
    columns: Mapping[str, tuple[Dtype, Sequence[Any]]], make: MakeColumn
) -> dict[int, InputError]:
    """Return what is wrong with each row that has values which do not fit, by themselves."""
    faults: dict[int, list[dict[str, Any]]] = {}
    for name, (dtype, values) in columns.items():
        for at, value in enumerate(values):
            try:
                _column([value], dtype, make)
            except _UNFIT:
                faults.setdefault(at, []).extend(_unlike(name, dtype, value).faults)
    return {at: InputError(each) for at, each in faults.items()}


def _unlike(name: str, dtype: Dtype, value: Any) -> InputError:
    wanted = _WANTED.get(dtype.kind, "a value that a column can hold")
    if dtype.kind == CATEGORY:
        wanted = one_of(dtype.categories)
    is_number = type(value) is int and dtype.kind in (INT, FLOAT, NUMERIC)
    word = "out_of_range" if is_number else _WORDS.get(dtype.kind, "value_error")
    return unlike(wanted, value, word, (name,))


def _check_exact(values: Sequence[Any]) -> None:
    """Raise ValueError where values that are to be floats beside others are exact only as ints."""
    if any(type(value) is int and not -EXACT <= value <= EXACT for value in values):
        raise ValueError("a whole number is more than a float holds")

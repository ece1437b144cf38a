"""APIs that take tables (BentoML's DataframeInput): one DataFrame of all that a batch has.

An input is a row (an array, or an object of the columns' names), or a table of its own in any of
the forms in which pandas writes one; the output of a table is the list of those of its rows. Used
by bento.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from model_runtime.inputs import Batch, viewer
from model_runtime.loaders import functions
from model_runtime.loaders.base import CallPredictor, LoadedModel, LoadError
from model_runtime.manifest import Manifest
from model_runtime.outputs import OutputError
from model_runtime.refusals import InputError, UnfitRowsError, fault, unlike
from model_runtime.signature import Signature

ANY: Final = "any"
_SCALARS: Final = (int, float, str, bool, type(None))
_SPLIT: Final = frozenset({"columns", "data"})


def model_of(
    call: Callable[[Any], Any], adapter: Any, manifest: Manifest, info: dict[str, Any]
) -> LoadedModel:
    """Return the model of an API that takes a DataFrame.

    Raises:
        LoadError: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415  (only where the model needs it)
    except ModuleNotFoundError as error:
        raise LoadError(
            f"{info['object']} takes a DataFrame, and pandas is not installed",
            hint="pip install pandas",
        ) from error
    if manifest.input_type == "rows":
        return _of_columns(call, manifest, info, pd)
    columns, dtype = getattr(adapter, "columns", None), getattr(adapter, "dtype", None)
    tables = _Tables(pd, columns, dtype, getattr(adapter, "orient", None))
    if manifest.input_type != ANY:
        view = viewer(manifest.input_type, as_lists=False)

        def numbers(batch: Batch) -> Any:
            return tables.typed(pd.DataFrame(list(view(batch)), columns=columns))

        predictor = CallPredictor(call, numbers)
        return LoadedModel(predictor, manifest.input_type, info=info)
    predictor = CallPredictor(tables.answering(call), tables.view)
    signature = Signature(input_type=ANY, value=manifest.schema)
    return LoadedModel(predictor, ANY, info=info, signature=signature)


def _of_columns(
    call: Callable[[Any], Any], manifest: Manifest, info: dict[str, Any], pd: Any
) -> LoadedModel:
    """Return the model whose columns are known: as a function that is annotated with a table."""

    def predict(frame: Any) -> Any:
        return call(frame)

    predict.__annotations__["frame"] = pd.DataFrame
    return functions.model_of(predict, manifest, info)


def _listed(outputs: Any) -> Any:
    """Return outputs as a list, an object for each row of a table."""
    if hasattr(outputs, "to_dict") and hasattr(outputs, "columns"):
        return outputs.to_dict(orient="records")
    return outputs.tolist() if hasattr(outputs, "to_frame") else outputs


class _Tables:
    """Makes one DataFrame of the tables of a batch, and takes apart what comes of it."""

    def __init__(
        self,
        pd: Any,
        columns: Sequence[str] | None,
        dtype: Mapping[Any, Any] | None,
        orient: str | None,
    ) -> None:
        self._pd = pd
        self._columns = columns
        self._dtype = dtype
        self._orient = orient

    def typed(self, frame: Any) -> Any:
        """Return a table with the types that the API says."""
        return frame if self._dtype is None else frame.astype(self._dtype)

    def view(self, batch: Batch) -> tuple[Any, list[int | None]]:
        """Return a batch as a table, and how many rows each input is; None: it is one row.

        Raises:
            UnfitRowsError: inputs are no tables, or not such as can be one.
        """
        made: list[Any] = []
        counts: list[int | None] = []
        errors: dict[int, InputError] = {}
        values = rows_of(batch)
        if batch.count > 1 and _are_alike(values):
            # One table of all costs as much as one of each: most batches are rows of one client.
            return self._of_rows(values), [None] * batch.count
        for at, value in enumerate(values):
            try:
                frame, count = self._frame(value)
            except InputError as error:
                errors[at] = error
                continue
            made.append(frame)
            counts.append(count)
        if errors or len({tuple(each.columns) for each in made}) > 1:
            raise UnfitRowsError(errors)
        frame = made[0] if len(made) == 1 else self._pd.concat(made, ignore_index=True)
        return self._typed(frame, batch.count), counts

    def _of_rows(self, values: list[Any]) -> Any:
        """Return the table of rows that are alike.

        Raises:
            UnfitRowsError: they cannot be in one table, or lack a column.
        """
        try:
            frame, _ = self._frame(values)
        except InputError as error:
            raise UnfitRowsError({}) from error
        return self._typed(frame, len(values))

    def _typed(self, frame: Any, count: int) -> Any:
        """Return the table of a batch with the types that the API says.

        Raises:
            UnfitRowsError: one of several inputs cannot have them.
            InputError: the only one cannot.
        """
        try:
            return self.typed(frame)
        except (ValueError, TypeError, KeyError) as error:
            if count > 1:
                raise UnfitRowsError({}) from error
            raise fault(
                f"the table cannot have the types of its columns: {error}", "type"
            ) from None

    def _frame(self, value: Any) -> tuple[Any, int | None]:
        """Return the table that an input is, and its number of rows; None of a single row."""
        columns = self._columns
        if _is_row(value):
            frame, count = self._made([value], columns), None
        elif isinstance(value, list):
            frame = self._made(value, columns)
            count = len(frame)
        elif isinstance(value, dict) and value:
            frame = self._of_object(value)
            count = len(frame)
        else:
            raise unlike("a row or a table", value, "table_type")
        missing = [name for name in columns or () if name not in frame.columns]
        if missing:
            raise fault(f"the table has no column {missing[0]!r}", "missing", (missing[0],))
        return (frame if columns is None else frame[list(columns)]), count

    def _of_object(self, value: dict[str, Any]) -> Any:
        """Return the table of an object: of columns, of rows by their index, or of both apart."""
        if value.keys() >= _SPLIT and isinstance(value["data"], list):
            return self._made(value["data"], value["columns"])
        if self._orient == "index":
            return self._made(list(value.values()), None)
        lists = {name: list(v.values()) if isinstance(v, dict) else v for name, v in value.items()}
        if not all(isinstance(each, list) for each in lists.values()):
            raise unlike("a row or a table", value, "table_type")
        return self._made(lists, None)

    def _made(self, values: Any, columns: Sequence[str] | None) -> Any:
        is_named = isinstance(values, dict) or (values and isinstance(values[0], dict))
        try:
            return self._pd.DataFrame(values, columns=None if is_named else columns)
        except (ValueError, TypeError) as error:
            raise fault(f"it is no table: {error}", "table_type") from None

    def answering(self, call: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
        """Return what is called with a view of a batch."""

        def answer(viewed: tuple[Any, list[int | None]]) -> list[Any]:
            frame, counts = viewed
            outputs = _listed(call(frame))
            flat = outputs.tolist() if hasattr(outputs, "tolist") else list(outputs)
            wanted = sum(1 if count is None else count for count in counts)
            if len(flat) != wanted:
                raise OutputError(f"the API returned {len(flat)} outputs for {wanted} rows")
            found: list[Any] = []
            place = 0
            for count in counts:
                part = flat[place : place + (count or 1)] if count != 0 else []
                found.append(part[0] if count is None else part)
                place += len(part)
            return found

        return answer


def _is_row(value: Any) -> bool:
    """Tell whether an input is one row: values, or values by name."""
    if isinstance(value, dict):
        return bool(value) and all(isinstance(each, _SCALARS) for each in value.values())
    return isinstance(value, list) and bool(value) and isinstance(value[0], _SCALARS)


def _are_alike(values: list[Any]) -> bool:
    """Tell whether all inputs are rows of the same columns."""
    first = values[0]
    if not all(map(_is_row, values)) or len(set(map(type, values))) > 1:
        return False
    if isinstance(first, dict):
        return all(value.keys() == first.keys() for value in values)
    return len(set(map(len, values))) == 1


def rows_of(batch: Batch) -> list[Any]:
    """Return the inputs of a batch as JSON values."""
    return list(viewer(ANY, as_lists=True)(batch))

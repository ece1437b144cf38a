"""Models whose inputs are arrays: of nested numbers in JSON, stacked to a batch, and cut again.

Used by loaders of formats that compute on tensors. Every array has the batch as its first dimension
unless the model says otherwise; what each input is, `Port` says. Here are numpy's arrays only: what
a library makes of them, and back, is its loader's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Optional

import numpy as np

from model_runtime import rows
from model_runtime.calling import apart
from model_runtime.inputs import Batch, View, viewer
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import AUTO, Manifest
from model_runtime.outputs import OutputError, render
from model_runtime.raw_outputs import RawOutput, render_wanted
from model_runtime.refusals import (
    Failed,
    InputError,
    PartlyFailedError,
    UnfitRowsError,
    fault,
    shown,
)
from model_runtime.signature import REFUSE, Schema, Signature

ROWS: Final = "rows"
ANY: Final = "any"
TEXT: Final = "str"
"""The dtype of a port that takes texts."""
_FLAT: Final = {"float32": "floats", "float64": "doubles", "int32": "integers"}
"""Input types that carry a list of numbers as bytes, by their dtype."""
_NUMBERS: Final = ("integers", "floats", "doubles")
_JSON_TYPES: Final = {"f": "number", "i": "integer", "u": "integer", "b": "boolean", "U": "string"}
_MAX_SHAPE: Final = 12

Shape = tuple[Optional[int], ...]
Arrays = Sequence[Any]


@dataclass(frozen=True)
class Port:
    """One array that a model takes, as it is of one input: without the batch.

    `dtype` is numpy's name (`TEXT` of texts), `shape` None where nothing is known of it, and has
    None for each length that may be any. `sample` is a value to try it with, where one is known.
    """

    name: str
    dtype: str = "float32"
    shape: Shape | None = None
    sample: Any = None

    @property
    def is_flat(self) -> bool:
        """Whether it is a list of numbers."""
        return self.shape is not None and len(self.shape) == 1

    def schema(self) -> Schema:
        """Return the schema of its value; of a shape that is not known it holds a sample alone."""
        kind = _JSON_TYPES.get(np.dtype(self.dtype).kind, "number")
        example = {} if self.sample is None else {"examples": [self.sample]}
        if self.shape is None:
            return example
        made: Schema = {"type": kind}
        if kind == "integer":
            made |= _bounds(self.dtype)
        for length in reversed(self.shape):
            made = {"type": "array", "items": made}
            if length is not None:
                made |= {"minItems": length, "maxItems": length}
        return made | example


def _bounds(dtype: str) -> Schema:
    info = np.iinfo(dtype)
    return {} if info.bits > 32 else {"minimum": int(info.min), "maximum": int(info.max)}


# --- what is said of inputs ---


def taken(ports: Sequence[Port], manifest: Manifest) -> tuple[Signature, tuple[Port, ...]]:
    """Return the signature of a model with these ports, and the ports as its deployer has them.

    Raises:
        LoadError: what the deployer says of inputs cannot be.
    """
    if len(ports) == 1:
        return _of_one(ports[0], manifest)
    if manifest.input_type not in (AUTO, ROWS, ANY):
        listed = ", ".join(each.name for each in ports)
        raise LoadError(
            f"{manifest.file} takes {len(ports)} arrays ({listed}), and --input-type "
            f"{manifest.input_type} is one",
            hint="leave --input-type out",
        )
    given = _properties(manifest)
    unknown = [name for name in given if name not in {each.name for each in ports}]
    if unknown:
        listed = ", ".join(each.name for each in ports)
        raise LoadError(f"the schema has {unknown[0]!r}, and the model takes {listed}")
    fields = {each.name: given.get(each.name) or each.schema() for each in ports}
    required = tuple(name for name, schema in fields.items() if "default" not in schema)
    extra = manifest.extra or REFUSE
    signature = Signature(input_type=ROWS, fields=fields, required=required, extra=extra)
    return signature, tuple(ports)


def _of_one(port: Port, manifest: Manifest) -> tuple[Signature, tuple[Port, ...]]:
    """Return the signature of a model that takes one array, and the port."""
    given = manifest.schema
    fields = _properties(manifest) or None
    if fields is not None:
        port = _of_columns(port, fields, manifest)
    kind = manifest.input_type
    if kind == AUTO:
        kind = _FLAT.get(port.dtype, ANY) if port.is_flat and given in (None, {}) else ANY
        kind = _FLAT.get(port.dtype, "doubles") if fields else kind
    if kind in _NUMBERS:
        return _of_numbers(port, kind, fields), (port,)
    if kind != ANY:
        raise LoadError(
            f"{manifest.file} takes an array, and --input-type {kind} is none",
            hint="leave --input-type out, or give integers, floats, doubles or any",
        )
    value = given or port.schema()
    return Signature(input_type=ANY, value=value or None), (port,)


def _of_numbers(port: Port, kind: str, fields: Mapping[str, Schema] | None) -> Signature:
    """Return the signature of one list of numbers, which may have names."""
    number: Schema = {"type": "integer" if kind == "integers" else "number"}
    value: Schema = {"type": "array", "items": number}
    length = port.shape[0] if port.shape is not None and port.is_flat else None
    if length is not None:
        value |= {"minItems": length, "maxItems": length}
    if fields is None:
        return Signature(input_type=kind, value=value)
    required = tuple(name for name, schema in fields.items() if "default" not in schema)
    return Signature(input_type=kind, value=value, fields=dict(fields), required=required)


def row_items(signature: Signature) -> int | None:
    """Return how many numbers an input must have; None where any, or where it is no list."""
    if signature.input_type not in _NUMBERS:
        return None
    length: int | None = (signature.value or {}).get("maxItems")
    return length


def _properties(manifest: Manifest) -> dict[str, Schema]:
    """Return the fields that the deployer has named."""
    named: dict[str, Schema] = (manifest.schema or {}).get("properties", {})
    return named


def _of_columns(port: Port, fields: Mapping[str, Schema], manifest: Manifest) -> Port:
    """Return a port that takes a list of numbers with these names.

    Raises:
        LoadError: it takes no such list.
    """
    if port.shape is not None and port.shape not in ((None,), (len(fields),)):
        raise LoadError(
            f"the schema names {len(fields)} columns ({', '.join([*fields][:_MAX_SHAPE])}), and "
            f"{manifest.file} takes an array of {told(port.shape)}"
        )
    return replace(port, shape=(len(fields),))


def told(shape: Shape) -> str:
    """Return a shape in words."""
    return " x ".join("any" if each is None else str(each) for each in shape) or "no dimension"


# --- inputs to arrays ---


def view_of(signature: Signature, ports: Sequence[Port]) -> View:
    """Return the view of a batch as a list of arrays, one for each port, each with all rows.

    It raises UnfitRowsError where a row is not what a port takes, and where the arrays of rows,
    each of which may be right, have different shapes.
    """
    if signature.input_type in _NUMBERS:
        return _flat_view(signature.input_type, ports[0])
    is_one = signature.input_type == ANY

    def view(batch: Batch) -> list[Any]:
        if is_one:
            columns: Sequence[Sequence[Any]] = [viewer(ANY, as_lists=True)(batch)]
        else:
            values = rows.parsed(batch.lengths, batch.data, batch.count)
            columns = [[row[at] for row in values] for at in range(len(ports))]
        return stacked(ports, columns, is_named=not is_one)

    return view


def _flat_view(kind: str, port: Port) -> View:
    inner = viewer(kind, as_lists=False)

    def view(batch: Batch) -> list[Any]:
        made = inner(batch)
        if isinstance(made, list):  # of unequal lengths
            raise UnfitRowsError({})
        _check_lengths(made, port)
        return [_cast(made, port, ())]

    return view


def _check_lengths(made: Any, port: Port) -> None:
    wanted = port.shape[0] if port.shape is not None and port.is_flat else None
    if wanted is not None and made.shape[1] != wanted:
        found = f"wanted {wanted} numbers, found {made.shape[1]}"
        error = fault(found, "length")
        raise UnfitRowsError(dict.fromkeys(range(len(made)), error))


def stacked(
    ports: Sequence[Port], columns: Sequence[Sequence[Any]], *, is_named: bool
) -> list[Any]:
    """Return an array for each port of the values that its rows have.

    Raises:
        UnfitRowsError: see `view_of`.
    """
    try:
        return [
            _array(values, port, (port.name,) if is_named else ())
            for port, values in _paired(ports, columns)
        ]
    except (InputError, ValueError):
        pass
    errors: dict[int, InputError] = {}
    for port, values in _paired(ports, columns):
        for at, value in enumerate(values):
            try:
                _array([value], port, (port.name,) if is_named else ())
            except InputError as error:
                errors.setdefault(at, error)
    raise UnfitRowsError(errors)


def _paired(ports: Sequence[Port], columns: Sequence[Sequence[Any]]) -> list[tuple[Port, Any]]:
    return [(port, columns[at]) for at, port in enumerate(ports)]


def _array(values: Sequence[Any], port: Port, place: tuple[str, ...]) -> Any:
    """Return the array of all rows.

    Raises:
        InputError: of one row, it is not what the port takes; of several, one of them is not.
    """
    try:
        made = np.array(values)
    except (ValueError, OverflowError) as error:  # of different lengths, or too large a number
        raise fault(f"no array can be made of it: {error!s:.200}", "value_error", place) from None
    kind = np.dtype(port.dtype).kind
    # Beside a text numpy makes one of a number.
    is_mixed = made.dtype.kind == "U" and not _is_like(values, "U")
    if is_mixed or (made.dtype.kind not in _TAKEN[kind] and made.size):
        wanted = "texts" if kind == "U" else "true or false" if kind == "b" else "numbers"
        found = _first_unlike(values[0], kind)
        raise fault(f"wanted {wanted}, found {shown(found)}", "type", place)
    if port.shape is not None and not _fits(made.shape[1:], port.shape):
        wanted = told(port.shape)
        raise fault(
            f"wanted an array of {wanted}, found one of {told(made.shape[1:])}", "length", place
        )
    return _cast(made, port, place)


_TAKEN: Final = {"f": "fiub", "i": "iufb", "u": "iufb", "b": "b", "U": "U"}
"""Of which kinds an array of JSON's values may be, by the kind of dtype that is wanted."""


def _first_unlike(value: Any, kind: str) -> Any:
    """Return the first part of a value that is no number (or text) where one is wanted."""
    while isinstance(value, list) and value:
        value = next((each for each in value if not _is_like(each, kind)), value[0])
    return value


def _is_like(value: Any, kind: str) -> bool:
    if isinstance(value, list):
        return all(_is_like(each, kind) for each in value)
    return isinstance(value, str) if kind == "U" else isinstance(value, (int, float))


def _fits(found: Sequence[int], wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(
        wanted[at] in (None, length) for at, length in enumerate(found)
    )


def _cast(made: Any, port: Port, place: tuple[str, ...]) -> Any:
    """Return an array with the port's dtype.

    Raises:
        InputError: a number is none of that dtype.
    """
    dtype = np.dtype(port.dtype)
    if dtype.kind == "U":
        return made.astype(object) if made.size else made
    if made.dtype == dtype:
        return made
    if dtype.kind in "iu":
        _check_whole(made, dtype, place)
    with np.errstate(over="ignore"):  # of float32 they are infinite, as the libraries make them
        return made.astype(dtype)


def _check_whole(made: Any, dtype: Any, place: tuple[str, ...]) -> None:
    if not made.size:
        return
    info = np.iinfo(dtype)
    if made.dtype.kind == "f" and not (made == np.floor(made)).all():
        wrong = made[made != np.floor(made)].flat[0]
        raise fault(f"wanted whole numbers, found {wrong}", "int_type", place)
    if made.min() < info.min or made.max() > info.max:
        wrong = made.min() if made.min() < info.min else made.max()
        raise fault(f"wanted numbers of {dtype.name}, found {wrong}", "out_of_range", place)


# --- the call, and its outputs ---


class ArrayPredictor:
    """A model that is called with arrays, and returns arrays, by name, in order, or one.

    Its outputs have the batch as their first dimension. One of which some have not (a recurrent
    network's state) is called with one row at a time, and such an output is the row's as a whole:
    what a row is answered may not depend on the others. Whether it is so is seen by one row.

    A model that takes `size` rows at once gets so many: where there are fewer, the last one again.
    One that `is_whole` has no batch: an input is all that it takes.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        view: View,
        *,
        size: int | None = None,
        is_whole: bool = False,
    ) -> None:
        self._call = call
        self._view = view
        self._size = size
        self._is_known = size is not None or is_whole
        self._is_each = size == 1 or is_whole
        self._is_whole = is_whole

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """See Predictor in base.py."""
        try:
            arrays = self._view(batch)
        except UnfitRowsError as error:
            failure = apart(self.predict, batch, error)
            if isinstance(failure, PartlyFailedError) and Failed not in map(type, failure.outcomes):
                return [each for each in failure.outcomes if isinstance(each, bytes)]
            raise failure from error
        outputs = self._outputs(arrays, batch.count)
        if batch.wanted:
            return render_wanted(outputs, batch.count, batch.wanted)
        return render(outputs, batch.count)

    def _outputs(self, arrays: Arrays, count: int) -> Any:
        """Return the output of each row."""
        if not self._is_known:
            first = self._call(*[each[:1] for each in arrays])
            self._is_each = not _is_batched(first, 1)
            self._is_known = True
            if count == 1:
                return _cut(first, 1) if not self._is_each else [_of_one_row(first)]
        if self._size is not None and not self._is_each:
            return self._filled(arrays, count, self._size)
        if not self._is_each:
            outputs = self._call(*arrays)
            if _is_batched(outputs, count):
                return _cut(outputs, count)
            self._is_each = True
        return [self._one(arrays, at) for at in range(count)]

    def _filled(self, arrays: Arrays, count: int, size: int) -> list[Any]:
        """Return the output of each row of a model that takes so many at once."""
        made: list[Any] = []
        for at in range(0, count, size):
            parts = [each[at : at + size] for each in arrays]
            lacking = size - len(parts[0])
            filled = [np.concatenate([each, each[-1:].repeat(lacking, 0)]) for each in parts]
            made += [*_cut(self._call(*filled), size)][: size - lacking]
        return made

    def _one(self, arrays: Arrays, at: int) -> Any:
        if self._is_whole:
            return self._call(*[each[at] for each in arrays])
        return _of_one_row(self._call(*[each[at : at + 1] for each in arrays]))


def _parts(outputs: Any) -> Sequence[Any] | None:
    """Return the parts of what holds arrays; None of what holds none."""
    if isinstance(outputs, Mapping):
        return list(outputs.values())
    return outputs if isinstance(outputs, (list, tuple)) else None


def _is_batched(outputs: Any, count: int) -> bool:
    """Tell whether each array in outputs has the batch as its first dimension."""
    parts = _parts(outputs)
    if parts is not None:
        return all(_is_batched(each, count) for each in parts if each is not None) and bool(parts)
    return isinstance(outputs, np.ndarray) and outputs.ndim > 0 and outputs.shape[0] == count


def _cut(outputs: Any, count: int) -> Any:
    """Return the outputs of each row: an array as it is, as its first dimension is the rows."""
    if outputs is None:
        return [None] * count
    if isinstance(outputs, Mapping):
        named = {str(name): _cut(each, count) for name, each in outputs.items()}
        return [{name: each[at] for name, each in named.items()} for at in range(count)]
    if isinstance(outputs, (list, tuple)):
        made = [_cut(each, count) for each in outputs]
        return [[each[at] for each in made] for at in range(count)]
    return outputs


def _of_one_row(outputs: Any) -> Any:
    """Return the output of a row by itself, of arrays that need not have a first dimension of 1."""
    if isinstance(outputs, Mapping):
        return {str(name): _of_one_row(each) for name, each in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return [_of_one_row(each) for each in outputs]
    if isinstance(outputs, np.ndarray) and outputs.ndim > 0 and outputs.shape[0] == 1:
        return outputs[0]
    if isinstance(outputs, np.ndarray) and outputs.ndim == 0:
        return outputs.item()
    if outputs is None or isinstance(outputs, (np.ndarray, str, int, float)):
        return outputs
    raise OutputError(f"the model returned a value of type {type(outputs).__name__}, and no array")

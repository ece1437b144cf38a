"""The inputs and outputs of an ONNX graph as rows of a batch. Used by onnx.py.

A port's first dimension is that of the batch where it is dynamic. Where it is the same number in
all inputs and outputs the model takes so many rows at once, and fewer are filled up with the last
one. In other cases it is called with one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Optional, Tuple  # noqa: UP035

from model_runtime.loaders.base import LoadError
from model_runtime.refusals import fault
from model_runtime.signature import Schema

_DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    **{
        f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32)
    },
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}
_MAPS: Final = "seq(map("
_ANY: Final[Schema] = {}

Shape = Tuple[Optional[int], ...]  # noqa: UP006  (Python 3.9 evaluates it)
"""A size of each dimension, None where it is any."""


class Port(NamedTuple):
    """One input or output. `inner` is the shape of a row, None in it where a size is any.

    `dtype` is numpy's name of it, "str" of texts, and empty of what is no tensor. Of one that is
    not batched a row is all of it.
    """

    name: str
    dtype: str
    inner: Shape
    is_batched: bool
    shown: str

    @property
    def is_fixed(self) -> bool:
        """Whether all its rows have one shape."""
        return None not in self.inner

    def schema(self, *, is_alone: bool) -> Schema:
        """Return the schema of a row; of one value that has a dimension it is that, or a list.

        Where there are several inputs, as of a table's columns, a row of one value is that value.
        """
        inner = self.inner if is_alone or self.inner != (1,) else ()
        if not self.dtype:
            return _ANY
        made = _value(self.dtype)
        for size in reversed(inner):
            made = {"type": "array", "items": made}
            if size is not None:
                made.update(minItems=size, maxItems=size)
        return made

    def array(self, values: Any, size: int) -> Any:
        """Return the tensor of some rows, of `size` rows where it is batched.

        Raises:
            InputError: they cannot be one.
        """
        import numpy as np  # noqa: PLC0415  (onnxruntime needs it)

        dtype = object if self.dtype == "str" else self.dtype
        try:
            made = np.asarray(values, dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise fault(f"{self.name}: {error}", "value_error") from error
        if not self.is_batched:
            return made[0]
        if self.inner == (1,) and made.ndim == 1:
            made = made.reshape(-1, 1)
        elif self.inner == () and made.ndim == 2 and made.shape[1] == 1:
            made = made.reshape(-1)
        if len(made) < size:
            made = np.concatenate([made, np.repeat(made[-1:], size - len(made), 0)])
        return made

    def rows(self, made: Any, count: int) -> Any:
        """Return the rows of what the model gave for `count` of them."""
        if self.is_batched and hasattr(made, "__len__") and len(made) >= count:
            return made[:count]
        if count == 1:
            return [made]
        raise ValueError(f"the output {self.name} has no row for each input of a batch")


class Plan(NamedTuple):
    """How a graph is called: with `size` rows at once, None: with any number."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    size: int | None

    @property
    def shown(self) -> str:
        """Its inputs, for people."""
        return ", ".join(f"{each.name} {each.shown}" for each in self.inputs)


def plan_of(session: Any, file: str) -> Plan:
    """Return how a session's graph is called.

    Raises:
        LoadError: it takes what is no tensor of numbers or texts, or nothing.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not inputs or not outputs:
        raise LoadError(f"{file} takes no input, or gives no output")
    for each in inputs:
        if each.type not in _DTYPES:
            raise LoadError(
                f"the input {each.name} of {file} is a {each.type}, which no JSON value can be",
                hint="deploy a Python file with a function that makes it and calls the model",
            )
    size = _size([_first(each) for each in inputs], [_first(each) for each in outputs])
    return Plan(
        tuple(_port(each, size) for each in inputs),
        tuple(_port(each, size, is_output=True) for each in outputs),
        size,
    )


def _size(inputs: Sequence[Any], outputs: Sequence[Any]) -> int | None:
    """Return how many rows a graph takes at once, by the first dimensions of its ports."""
    named = {each for each in inputs if isinstance(each, str)}
    if all(each is None or isinstance(each, str) for each in inputs) and len(named) < 2:
        # Of an output nothing may be said; one that has no dimension, or a fixed one, has no rows.
        return 1 if any(each == _NO_DIMENSION or _is_size(each) for each in outputs) else None
    size = inputs[0]
    if _is_size(size) and {*inputs, *outputs} == {size}:
        return int(size)
    return 1


_NO_DIMENSION: Final = 0
"""Stands for the first dimension of a scalar."""


def _is_size(dimension: Any) -> bool:
    return type(dimension) is int and dimension > 0


def _first(node: Any) -> Any:
    """Return the first dimension of a port: a size, a name, or None where it is not known."""
    if node.type.startswith("seq("):
        return None
    if not node.shape:
        return _NO_DIMENSION
    first = node.shape[0]
    return first if isinstance(first, str) or _is_size(first) else None


def _port(node: Any, size: int | None, *, is_output: bool = False) -> Port:
    first = _first(node)
    is_any = first is None or isinstance(first, str)
    is_batched = first != _NO_DIMENSION and (is_any or first == size)
    shape = tuple(each if _is_size(each) else None for each in node.shape or ())
    inner = shape[1:] if is_batched else shape
    dtype = _DTYPES.get(node.type, "")
    if is_output and node.type.startswith(_MAPS):
        inner = ()
    shown = f"{node.type}{list(node.shape or ())}"
    return Port(node.name, dtype, inner, is_batched, shown)


def shape_of(value: Any) -> Shape:
    """Return the shape of a JSON value as an array, by its first parts."""
    made = []
    while isinstance(value, (list, tuple)) or hasattr(value, "shape"):
        made.append(len(value))
        if not len(value) or not hasattr(value[0], "__len__") or isinstance(value[0], str):
            break
        value = value[0]
    return tuple(made)


def _value(dtype: str) -> Schema:
    """Return the schema of an element."""
    if dtype == "str":
        return {"type": "string"}
    if dtype == "bool":
        return {"type": "boolean"}
    if not dtype.startswith(("int", "uint")):
        return {"type": "number"}
    bits = int(dtype.rpartition("int")[2])
    if dtype.startswith("u"):
        return {"type": "integer", "minimum": 0, "maximum": (1 << bits) - 1}
    return {"type": "integer", "minimum": -(1 << bits - 1), "maximum": (1 << bits - 1) - 1}

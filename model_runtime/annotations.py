"""What a function's annotations say about its inputs. Used by discover.py.

numpy's types are told by their names: a file that does not use numpy is read without it.
"""

import collections.abc
import inspect
import types
import typing
from dataclasses import dataclass
from typing import Any, Final

_LISTS: Final = (
    list,
    tuple,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.MutableSequence,
)
_NUMPY_TYPES: Final = {
    "float32": "floats",
    "float16": "floats",
    "int8": "integers",
    "int16": "integers",
    "int32": "integers",
    "int64": "integers",
}


@dataclass(frozen=True, slots=True)
class Guess:
    """An input type, None where unknown, and whether numbers are wanted as plain lists."""

    input_type: str | None = None
    as_lists: bool = False


def guess(call: Any, skip: int = 0) -> Guess:
    """Return the input type that the first parameter's annotation means, after `skip` others."""
    try:
        parameters = list(inspect.signature(call).parameters.values())[skip:]
    except (ValueError, TypeError):
        return Guess()
    if not parameters:
        return Guess()
    return of_annotation(_hints(call).get(parameters[0].name, None))


def _hints(call: Any) -> dict[str, Any]:
    """Return a callable's annotations, resolved where they are texts; none if that fails."""
    is_plain = inspect.isroutine(call) or isinstance(call, type)
    target = call if is_plain else type(call).__call__
    try:
        return typing.get_type_hints(target)
    except Exception:  # noqa: BLE001  (resolving runs the annotations: anything may come of it)
        return {}


def of_annotation(annotation: Any) -> Guess:
    """Return what the annotation of a list of inputs means."""
    annotation = _without_none(annotation)
    if _is_array(annotation):
        return Guess(_array_type(annotation))
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin not in _LISTS or not arguments:
        return Guess()
    return _of_input(_without_none(arguments[0]))


def _of_input(item: Any) -> Guess:
    """Return what the annotation of one input means."""
    if item is str:
        return Guess("strings")
    if item in (bytes, bytearray, memoryview):
        return Guess("bytes")
    if _is_array(item):
        return Guess(_array_type(item))
    if isinstance(item, typing.TypeVar):
        return Guess()
    inner = typing.get_args(item)
    if typing.get_origin(item) in _LISTS and inner:
        return {int: Guess("integers", as_lists=True), float: Guess("doubles", as_lists=True)}.get(
            inner[0], Guess("any")
        )
    return Guess("any")


def _without_none(annotation: Any) -> Any:
    """Return X for `X | None`."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    others = [a for a in typing.get_args(annotation) if a is not type(None)]
    return others[0] if len(others) == 1 else annotation


def _is_array(annotation: Any) -> bool:
    """Tell whether an annotation is numpy's array, with or without an item type."""
    plain = typing.get_origin(annotation) or annotation
    module = getattr(plain, "__module__", None)
    return module == "numpy" and getattr(plain, "__name__", "") == "ndarray"


def _array_type(annotation: Any) -> str:
    """Return the input type of an array annotation: doubles unless its item type says else."""
    arguments = typing.get_args(annotation)
    items = typing.get_args(arguments[-1]) if arguments else ()
    return _NUMPY_TYPES.get(getattr(items[0], "__name__", ""), "doubles") if items else "doubles"

"""Makes the arguments of one call from one input, as a batch's view gives it: what is returned
takes the list of a row's values, or the one value that the input is. All raise InputError where
that is not what the function's types say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from model_runtime.annotations.kind import Field, Record
from model_runtime.older import zip
from model_runtime.refusals import at, unlike

Made = tuple[Sequence[Any], dict[str, Any]]
"""Positional arguments and keywords."""
Arguments = Callable[[Any], Made]


def of_value(make: Callable[[Any], Any] | None, keyword: str | None = None) -> Arguments:
    """Return how the one value that an input is becomes the one argument."""
    if keyword is not None:
        return lambda value: ((), {keyword: value if make is None else make(value)})
    if make is None:
        return lambda value: ((value,), {})
    return lambda value: ((make(value),), {})


def of_names(value: Any) -> Made:
    """Return the parts of an object as keywords."""
    if type(value) is not dict:
        raise unlike("an object", value, "object_type")
    return (), value


def record_of(record: Record) -> Callable[[list[Any]], Any]:
    """Return how the values of a record's fields become the record."""
    names = [each.name for each in record.fields]
    dropped = [each.name for each in record.fields if each.is_dropped]
    make = record.make

    def made(values: list[Any]) -> Any:
        named = dict(zip(names, values, strict=True))
        for name in dropped:
            if named[name] is None:
                del named[name]
        return make(named)

    return made


def of_fields(fields: Sequence[Field], positional: Sequence[bool]) -> Arguments:
    """Return how the values of fields become arguments; the first may go by their position."""
    count = 0
    while count < len(fields) and positional[count] and not fields[count].is_dropped:
        count += 1
    first = [(each.name, each.kind) for each in fields[:count]]
    others = [(each.name, each.kind, each.is_dropped) for each in fields[count:]]

    def made(values: list[Any]) -> Made:
        given = iter(values)
        # Of the two that are gone through together the shorter comes first: it ends them.
        ordered = [at(kind, value, name) for (name, kind), value in zip(first, given)]
        named = {
            name: at(kind, value, name)
            for (name, kind, is_dropped), value in zip(others, given)
            if not (is_dropped and value is None)
        }
        return ordered, named

    return made

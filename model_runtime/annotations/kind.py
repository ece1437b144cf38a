"""What one annotation comes to: a schema, and the function that makes a value of JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Final

from model_runtime.failure import ModelFault
from model_runtime.older import dataclass
from model_runtime.refusals import InputError
from model_runtime.signature import Schema

MISSING: Final = object()
"""The default of what has none."""


class UnclearError(ModelFault):
    """An annotation, or a function's parameters, that no input can be made for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The JSON Schema of values, and `make`, which makes one of JSON; None: it is one already.

    `make` raises InputError where a value is not of the kind.
    """

    schema: Schema
    make: Callable[[Any], Any] | None = None

    def __call__(self, value: Any) -> Any:
        """Return the value that a JSON value means."""
        return value if self.make is None else self.make(value)

    @property
    def takes_null(self) -> bool:
        """Whether null is one of its values."""
        try:
            self(None)
        except InputError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A named part of a record.

    `default` is the JSON value that stands for what was left out, MISSING where it must be given.
    With `is_dropped`, that is null, and then whoever is called does not get it.
    """

    name: str
    kind: Kind
    default: Any = MISSING
    is_dropped: bool = False

    @property
    def schema(self) -> Schema:
        """Its schema, with the default."""
        if self.default is MISSING:
            return self.kind.schema
        kind = nullable(self.kind) if self.is_dropped else self.kind
        return {**kind.schema, "default": self.default}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A class with named parts.

    `make` makes one of a dict of JSON values, without those that are dropped. `kind` is what it is
    as a part of something. `extra` is what it says itself of names that it does not know.
    """

    fields: tuple[Field, ...]
    kind: Kind
    make: Callable[[dict[str, Any]], Any]
    extra: str | None = None
    title: str = field(default="")


def nullable(kind: Kind) -> Kind:
    """Return the kind of what may be null as well."""
    make = kind.make
    schema = kind.schema
    if not schema:
        return kind
    if [*schema] == ["type"] and isinstance(schema["type"], str):
        schema = {"type": [schema["type"], "null"]}
    elif [*schema] == ["enum"]:
        schema = {"enum": [*schema["enum"], None]}
    else:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if make is None:
        return Kind(schema)
    return Kind(schema, lambda value: None if value is None else make(value))

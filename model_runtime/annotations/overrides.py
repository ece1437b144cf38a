"""What the deployer says of a function's inputs, over what the function says itself.

Where both cannot be true, the error names both. Called by the loader, and by discover before
anything is deployed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from model_runtime.annotations.callables import Callee
from model_runtime.annotations.kind import UnclearError
from model_runtime.annotations.kinds import decoded
from model_runtime.refusals import InputError, fault
from model_runtime.rows import values_of
from model_runtime.signature import BATCH, EACH, IGNORE, Schema, Signature

_NUMERIC: Final = frozenset({"integers", "floats", "doubles"})


def settled(
    callee: Callee, name: str, input_type: str | None, schema: Schema | None, extra: str | None
) -> Callee:
    """Return how a function is called with inputs as its deployer says, where that is not None.

    Raises:
        UnclearError: it cannot be.
    """
    if input_type is not None and input_type != callee.signature.input_type:
        callee = _with_type(callee, name, input_type)
    if schema is not None:
        callee = replace(callee, signature=_with_schema(callee, name, schema), is_told=True)
        if extra is None and schema.get("additionalProperties", False) is not False:
            extra = IGNORE
    if extra is not None:
        callee = replace(callee, signature=replace(callee.signature, extra=extra))
    return callee


def with_columns(callee: Callee, example: Any) -> Callee:
    """Return a callee that takes tables with the columns of an example, if they are not known."""
    signature = callee.signature
    if signature.input_type != "rows" or signature.fields is not None:
        return callee
    if not isinstance(example, Mapping) or not example:
        return callee
    fields = {str(name): _of_value(value) for name, value in example.items()}
    return replace(callee, signature=replace(signature, fields=fields, required=tuple(fields)))


def _of_value(value: Any) -> Schema:
    """Return the schema of a column of which one value is known."""
    kind = _NAMES.get(type(value), "")
    if kind == "null" or not kind:
        return {}
    return {"type": kind}


def without_columns(name: str) -> UnclearError:
    """Return the refusal of a function of tables of which nobody says the columns."""
    return UnclearError(
        f"'{name}' takes rows as a DataFrame, and nothing says which columns they have",
        hint="--columns 'age:int,city:str', --schema FILE, or --example with an object",
    )


# --- another input type ---


def _with_type(callee: Callee, name: str, given: str) -> Callee:
    """Return a callee with inputs of another type, where the function can take such."""
    own = callee.signature
    if not callee.is_told:
        return replace(callee, signature=Signature(input_type=given, output=own.output))
    is_numeric = {own.input_type, given} <= _NUMERIC
    if given == "any" or is_numeric or (own.call == BATCH and own.input_type == "any"):
        return _adapted(callee, given)
    raise UnclearError(
        f"'{name}' takes {_described(own)} (input type {own.input_type}), "
        f"and is deployed with the input type {given}",
        hint=f"leave --input-type out, or annotate '{name}' as taking {given}",
    )


def _adapted(callee: Callee, given: str) -> Callee:
    own = callee.signature
    if given != "any" or own.input_type in _NUMERIC:
        return replace(callee, signature=replace(own, input_type=given))
    # Its parts are the function's business: what is sent is handed on as it is.
    signature = replace(
        own, input_type=given, fields=None, required=(), value=own.input_schema() or None
    )
    parts = _parts_of(own)
    if own.call == EACH and callee.arguments is not None:
        arguments = callee.arguments
        return replace(callee, signature=signature, arguments=lambda value: arguments(parts(value)))
    item = callee.item
    if own.input_type == "rows" and item is not None:
        return replace(callee, signature=signature, item=lambda value: item(parts(value)))
    return replace(callee, signature=signature)


def _parts_of(own: Signature) -> Callable[[Any], Any]:
    """Return how any JSON value becomes what a view gives of inputs of a function's own type."""

    def parts(value: Any) -> Any:
        try:
            values = [value] if own.fields is None else values_of(value, own)
        except InputError:
            raise
        except ValueError as error:
            raise fault(str(error), "value_error") from None
        if own.input_type == "rows":
            return values
        return decoded(values[0]) if own.input_type == "bytes" else values[0]

    return parts


def _described(signature: Signature) -> str:
    """Return what a function takes, in words."""
    how = "one input" if signature.call == EACH else "a list of inputs"
    if signature.fields and signature.value is None:
        names = list(signature.fields)
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        return f"{listed} by name of {how}"
    return f"{how}"


# --- a schema ---


def _with_schema(callee: Callee, name: str, given: Schema) -> Signature:
    own = callee.signature
    properties = given.get("properties")
    if isinstance(properties, dict) and own.fields is not None:
        return _with_fields(own, name, given, properties)
    if isinstance(properties, dict) and own.input_type == "rows":  # a table: the names are told
        return replace(own, fields=properties, required=_required(given, properties))
    if not callee.is_told and isinstance(properties, dict):
        return Signature(
            input_type="rows",
            fields=properties,
            required=_required(given, properties),
            output=own.output,
        )
    if own.value is not None and _clash(own.value, given):
        raise UnclearError(
            f"the schema says that an input is {_kind_of(given)}, "
            f"'{name}' takes {_kind_of(own.value)}",
            hint=_AGREE,
        )
    return replace(own, value=given)


def _with_fields(
    own: Signature, name: str, given: Schema, properties: dict[str, Schema]
) -> Signature:
    fields = own.fields or {}
    unknown = [each for each in properties if each not in fields]
    missing = [each for each in own.required if each not in properties]
    if unknown or missing:
        which = f"has {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}"
        raise UnclearError(
            f"the schema {which}, '{name}' takes {', '.join(fields) or 'nothing'}", hint=_AGREE
        )
    for each, schema in properties.items():
        if _clash(fields[each], schema):
            raise UnclearError(
                f"the schema says that {each} is {_kind_of(schema)}, "
                f"'{name}' takes {_kind_of(fields[each])}",
                hint=_AGREE,
            )
    required = tuple(
        each for each in fields if each in own.required or each in given.get("required", ())
    )
    merged = {
        each: properties.get(each, schema)
        if each in required or "default" in properties.get(each, schema)
        else {**properties[each], "default": schema.get("default")}
        for each, schema in fields.items()
    }
    return replace(own, fields=merged, required=required)


_AGREE: Final = "change the one that is wrong, or leave the schema out"


def _required(given: Schema, properties: dict[str, Any]) -> tuple[str, ...]:
    """Return the fields that must be given: those that a schema says, or that have no default."""
    listed = given.get("required", ())
    return tuple(
        each
        for each, schema in properties.items()
        if each in listed or "default" not in (schema if isinstance(schema, dict) else {})
    )


def _clash(own: Schema, given: Schema) -> bool:
    """Tell whether no value is of both schemas, as far as their types say."""
    return not (_kinds(own) & _kinds(given))


def _kinds(schema: Any) -> set[str]:
    if not isinstance(schema, dict):
        return set(_ALL)
    if "enum" in schema:
        return {_NAMES.get(type(each), "object") for each in schema["enum"]}
    if "anyOf" in schema:
        return set().union(*map(_kinds, schema["anyOf"]))
    kinds = schema.get("type", _ALL)
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    return {"number" if each == "integer" else each for each in found}


_ALL: Final = ("number", "boolean", "string", "array", "object", "null")
_NAMES: Final = {int: "number", float: "number", bool: "boolean", str: "string", type(None): "null"}


def _kind_of(schema: Schema) -> str:
    return " or ".join(sorted(_kinds(schema))) if len(_kinds(schema)) < len(_ALL) else "anything"

"""How a function or method is to be called: what its parameters say. Used by loaders and discover.

A function is called with a list of inputs (BATCH) unless its parameters cannot be that: several
that it needs, one of a type that is no list, a default that is none. Then it is called once an
input (EACH), and its parameters are the names of the input's parts (docs/deploying.md, "A
function").
"""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from model_runtime.annotations import foreign, results
from model_runtime.annotations.arguments import (
    Arguments,
    of_fields,
    of_names,
    of_value,
    record_of,
)
from model_runtime.annotations.bounds import bounded
from model_runtime.annotations.kind import MISSING, Field, Kind, Record, UnclearError
from model_runtime.annotations.kinds import ANYTHING, BASE64, Reader, plain
from model_runtime.annotations.parameters import (
    SCALARS,
    Parameter,
    is_fillable,
    is_list,
    is_of_scalars,
    is_text,
    is_unknown,
    of_library,
    parameter_of,
    without_none,
)
from model_runtime.annotations.records import Default, Unresolved, default_of, hints_of
from model_runtime.failure import message_of
from model_runtime.older import dataclass
from model_runtime.signature import BATCH, EACH, REFUSE, Schema, Signature, SignatureError, check

_SELDON: Final = frozenset({"names", "feature_names", "features_names", "meta"})
"""How Seldon's classes call what they take beside the inputs."""
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BYTES: Final = (bytes, bytearray, memoryview)
_EXACT: Final = 1 << 53


def _whole(value: Any) -> Any:
    """Return a number as a default that is an int lets expect: whole ones are ints.

    A row has it as a float, whose 3.0 neither `range` nor an index takes.
    """
    is_whole = type(value) is float and value.is_integer() and abs(value) <= _EXACT
    return int(value) if is_whole else value


_OF_DEFAULT: Final[dict[type, Kind]] = {
    bool: Reader().kind(bool),
    int: Kind({"type": "number"}, _whole),
    float: Kind({"type": "number"}),
    str: Reader().kind(str),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """How a function is to be called.

    `signature` is what it says of inputs and outputs; its input type is doubles where it says
    nothing (not `is_told`). `arguments` makes the arguments of one input, where the call is EACH;
    `item` makes one of the list of inputs, where that is more than the JSON value. `as_lists`:
    numbers are wanted as Python's. `frame` is the library whose DataFrame a batch is. `extras` is
    how many of names=[] and meta={} it needs beside.
    """

    signature: Signature
    is_told: bool = True
    is_async: bool = False
    as_lists: bool = False
    arguments: Arguments | None = None
    item: Callable[[Any], Any] | None = None
    frame: str | None = None
    extras: int = 0


def read(
    call: Any, name: str, *, skip: int = 0, is_method: bool = False, as_call: str | None = None
) -> Callee:
    """Return how a callable is to be called; `skip` leaves out `self`.

    `as_call` is how it is called in any case (BATCH or EACH), None where it is to be found out.

    Raises:
        UnclearError: no input fills its parameters, or it can be meant in two ways.
    """
    try:
        listed = list(inspect.signature(call).parameters.values())[skip:]
    except (ValueError, TypeError):  # some that are written in C say nothing
        return Callee(signature=Signature(input_type="doubles"), is_told=False)
    hints = hints_of(_annotated(call))
    try:
        callee = _read(_Reading(name, call, listed, hints), listed, as_call, is_method=is_method)
        check(callee.signature)
    except UnclearError:
        raise
    except SignatureError as error:
        raise UnclearError(f"'{name}': {error}") from error
    except Exception as error:
        # Classes may say anything of themselves, and libraries refuse to describe some of theirs.
        told = message_of(error)
        raise UnclearError(f"'{name}': its annotations cannot be read: {told}") from error
    return callee


def _read(
    reading: _Reading,
    listed: Sequence[inspect.Parameter],
    as_call: str | None,
    *,
    is_method: bool,
) -> Callee:
    if is_method and as_call != EACH and (extras := _seldon_extras(listed)) is not None:
        return reading.batch(extras)
    if as_call == BATCH:
        return reading.batch_in_any_case()
    return reading.each() if as_call or reading.is_each() else reading.batch()


def _annotated(call: Any) -> Any:
    """Return what has the annotations of a callable."""
    is_plain = inspect.isroutine(call) or isinstance(call, type)
    target = call if is_plain else getattr(call, "func", None) or type(call).__call__
    return inspect.unwrap(target)


def _seldon_extras(listed: Sequence[inspect.Parameter]) -> int | None:
    """Return how many arguments of Seldon's a method needs beside; None where it is none such."""
    beside = [each for each in listed if each.kind not in _VARIADIC][1:]
    if not beside or beside[0].name not in _SELDON:
        return None
    needed = [each for each in beside if each.default is each.empty]
    return len(needed) if len(needed) <= 2 else None


def is_stream(call: Any) -> bool:
    """Tell whether a callable yields its output item by item."""
    return any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each)
        for each in (call, type(call).__call__)
    )


def is_async(call: Any) -> bool:
    """Tell whether what a callable returns is to be awaited, or iterated so."""
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (call, type(call).__call__)
    )


class _Reading:
    """One callable that is read."""

    def __init__(
        self,
        name: str,
        call: Any,
        listed: Sequence[inspect.Parameter],
        hints: dict[str, Any],
    ) -> None:
        self._name = name
        self._is_stream = is_stream(call)
        self._is_async = is_async(call)
        self._takes_any_name = any(each.kind is each.VAR_KEYWORD for each in listed)
        self._takes_any_number = any(each.kind is each.VAR_POSITIONAL for each in listed)
        self._answer = results.read(hints.get("return", MISSING))
        found = [parameter_of(each, hints) for each in listed if each.kind not in _VARIADIC]
        filled = [each for each in found if each.is_needed or is_fillable(each)]
        # Behind one that is left out, the others can be named only.
        self._parameters = [
            replace(each, is_positional=each.is_positional and each.name == listed[place].name)
            for place, each in enumerate(filled)
        ]

    # --- which of the two it is ---

    def is_each(self) -> bool:
        """Tell whether it is called once an input.

        Raises:
            UnclearError: it may be meant in two ways, or takes nothing.
        """
        parameters = self._parameters
        if not parameters:
            if not self._takes_any_number and not self._takes_any_name:
                raise UnclearError(f"'{self._name}' cannot be called with one argument", hint=_WAYS)
            return not self._takes_any_number or self._is_stream
        first, *others = parameters
        if self._is_stream or not first.is_positional:
            return True
        if any(each.is_needed for each in others):
            return True
        if first.is_bare:
            return type(first.default) in SCALARS or isinstance(first.default, enum.Enum)
        if not is_list(first.annotation):
            return not is_unknown(first.annotation)
        if self._answer.is_of_one is None and others and is_of_scalars(first.annotation):
            raise self._ambiguous(first, others)
        return self._answer.is_of_one is True

    def _ambiguous(self, first: Parameter, others: list[Parameter]) -> UnclearError:
        beside = ", ".join(each.name for each in others)
        return UnclearError(
            f"'{self._name}' can be meant in two ways: {first.name} is a list of inputs, or one "
            f"input is {first.name} with {beside}",
            hint=f"annotate what it returns: '-> list[float]' is one output for each input in "
            f"{first.name}, '-> float' (or str, dict, a class) the output of one input",
        )

    # --- called with a list ---

    def batch_in_any_case(self) -> Callee:
        """Return how it is called with a list, as it always was before functions said otherwise.

        Raises:
            UnclearError: it cannot be called with one argument.
        """
        needed = [each for each in self._parameters if each.is_needed]
        is_fit = self._takes_any_number or any(each.is_positional for each in self._parameters)
        if len(needed) > 1 or not is_fit:
            raise UnclearError(f"'{self._name}' cannot be called with one argument", hint=_WAYS)
        return self.batch()

    def batch(self, extras: int = 0) -> Callee:
        """Return how it is called with all inputs of a batch."""
        annotation = self._parameters[0].annotation if self._parameters else Any
        annotation = without_none(annotation)
        output = self._answer.item
        common: Any = {"is_async": self._is_async, "extras": extras}
        if foreign.frame_of(annotation):
            signature = Signature(input_type="rows", output=output)
            return Callee(signature=signature, frame=foreign.frame_of(annotation), **common)
        if foreign.is_array(annotation):
            signature = _numbers(foreign.array_type(annotation), output)
            return Callee(signature=signature, **common)
        arguments = typing.get_args(annotation)
        if not arguments or not is_list(annotation):
            signature = _numbers("doubles", output)
            return Callee(signature=signature, is_told=False, **common)
        return self._batch_of(without_none(plain(arguments[0])), common)

    def _batch_of(self, item: Any, common: Any) -> Callee:
        output = self._answer.item
        if item is str or item in _BYTES or foreign.is_image(item):
            schema, make = _of_bytes(item)
            schema = {"type": "string"} if item is str else schema
            word = "strings" if item is str else "bytes"
            signature = Signature(input_type=word, value=schema, output=output)
            return Callee(signature=signature, item=make, **common)
        numbers = _numbers_of(item)
        if numbers is not None:
            is_array = foreign.is_array(item)
            return Callee(signature=_numbers(numbers, output), as_lists=not is_array, **common)
        if isinstance(item, (Unresolved, typing.TypeVar)) or is_unknown(item):
            signature = Signature(input_type="any", output=output)
            is_told = not isinstance(item, typing.TypeVar)
            return Callee(signature=signature, is_told=is_told, **common)
        reader = Reader()
        record = reader.record(item)
        if record is not None and record.fields:
            signature = _of_record(record, output, BATCH)
            return Callee(signature=signature, item=record_of(record), **common)
        kind = reader.kind(item)
        signature = Signature(input_type="any", value=kind.schema or None, output=output)
        return Callee(signature=signature, item=kind.make, **common)

    # --- called once an input ---

    def each(self) -> Callee:
        """Return how it is called with one input."""
        parameters = self._parameters
        if not parameters:
            signature = self._signature(input_type="any", value={"type": "object"})
            return self._callee(signature, of_names)
        if len(parameters) == 1:
            return self._of_one(parameters[0])
        fields = [self._field(each) for each in parameters]
        return self._of_fields(parameters, fields)

    def _of_one(self, parameter: Parameter) -> Callee:
        annotation = without_none(parameter.annotation)
        position = parameter.name if not parameter.is_positional else None
        if is_text(parameter.annotation):
            field = self._field(parameter)
            make = None if annotation is str else field.kind.make
            return self._bare("strings", field, of_value(make, position))
        if annotation in _BYTES or foreign.is_image(annotation):
            schema, make = _of_bytes(annotation)
            field = Field(name=parameter.name, kind=Kind(schema))
            return self._bare("bytes", field, of_value(make, position))
        numbers = _numbers_of(annotation)
        if numbers is not None:
            is_array = foreign.is_array(annotation)
            signature = self._signature(input_type=numbers, value=_numbers(numbers, {}).value)
            return self._callee(signature, of_value(None, position), as_lists=not is_array)
        record = None if parameter.is_bare else Reader().record(annotation)
        if record is not None and record.fields and parameter.is_needed:
            signature = _of_record(record, self._answer.whole, EACH, is_stream=self._is_stream)
            return self._callee(signature, of_value(record_of(record), position))
        field = self._field(parameter)
        if field.kind.schema.get("type") == "object":
            signature = self._signature(input_type="any", value=field.kind.schema)
            return self._callee(signature, of_value(field.kind.make, position))
        return self._of_fields([parameter], [field], value=field.kind.schema)

    def _bare(self, word: str, field: Field, arguments: Arguments) -> Callee:
        signature = self._signature(
            input_type=word,
            fields={field.name: field.schema},
            required=(field.name,) if field.default is MISSING else (),
            value=field.kind.schema,
        )
        return self._callee(signature, arguments)

    def _of_fields(
        self, parameters: list[Parameter], fields: list[Field], value: Schema | None = None
    ) -> Callee:
        signature = self._signature(
            input_type="rows",
            fields={each.name: each.schema for each in fields},
            required=tuple(each.name for each in fields if each.default is MISSING),
            value=value,
        )
        positional = [each.is_positional for each in parameters]
        return self._callee(signature, of_fields(fields, positional))

    def _signature(self, **told: Any) -> Signature:
        return Signature(output=self._answer.whole, call=EACH, is_stream=self._is_stream, **told)

    def _callee(self, signature: Signature, arguments: Arguments, **more: Any) -> Callee:
        return Callee(signature=signature, arguments=arguments, is_async=self._is_async, **more)

    def _field(self, parameter: Parameter) -> Field:
        """Return a parameter as a part of an input."""
        default = Default(MISSING)
        value = of_library(parameter.default)
        if value is not inspect.Parameter.empty:
            default = default_of(value.value if isinstance(value, enum.Enum) else value)
        try:
            kind = self._kind(parameter, value)
        except UnclearError as error:
            raise UnclearError(
                f"'{self._name}' is called once for each input, and its parameter "
                f"'{parameter.name}' cannot be given: {error}",
                hint=error.hint,
            ) from error
        default = default.fit_for(kind)
        return Field(
            name=parameter.name, kind=kind, default=default.value, is_dropped=default.is_dropped
        )

    def _kind(self, parameter: Parameter, default: Any) -> Kind:
        if isinstance(parameter.annotation, Unresolved) or parameter.is_bare:
            return _OF_DEFAULT.get(type(default), ANYTHING)
        kind = Reader().kind(parameter.annotation)
        beside = parameter.default
        return kind if beside is default else bounded(kind, [beside])


def _numbers_of(annotation: Any) -> str | None:
    """Return the input type of a list or an array of numbers; None for anything else."""
    if foreign.is_array(annotation):
        return foreign.array_type(annotation)
    arguments = typing.get_args(annotation)
    if not arguments or not is_list(annotation):
        return None
    return {int: "integers", float: "doubles"}.get(plain(arguments[0]))


def _numbers(input_type: str, output: Schema) -> Signature:
    number = {"type": "integer" if input_type == "integers" else "number"}
    return Signature(input_type=input_type, value={"type": "array", "items": number}, output=output)


def _of_bytes(item: Any) -> tuple[Schema, Callable[[Any], Any] | None]:
    if foreign.is_image(item):
        return {**BASE64, "contentMediaType": "image/*"}, foreign.image_of
    return dict(BASE64), None if item in (bytes, str) else item


def _of_record(record: Record, output: Schema, call: str, *, is_stream: bool = False) -> Signature:
    return Signature(
        input_type="rows",
        fields={each.name: each.schema for each in record.fields},
        required=tuple(each.name for each in record.fields if each.default is MISSING),
        output=output,
        call=call,
        is_stream=is_stream,
        extra=record.extra or REFUSE,
    )


_WAYS: Final = (
    "a function takes one argument, the list of inputs, and returns a list of outputs; or the "
    "parts of one input by name, as def predict(age: int, city: str)"
)

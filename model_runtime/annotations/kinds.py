"""What an annotation means: the JSON Schema of its values, and how they are made of JSON.

Libraries' types are told by their names (foreign.py): a file that uses none of them is read without
them. Types with named parts are in records.py.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc
import datetime as dt
import decimal
import enum
import pathlib
import typing
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from model_runtime.annotations import bounds, foreign, records
from model_runtime.annotations.kind import Kind, Record, UnclearError, nullable
from model_runtime.iso import date_of, datetime_of, time_of
from model_runtime.older import UnionType, dataclass, is_new_type, zip
from model_runtime.refusals import InputError, at, unlike

ANYTHING: Final = Kind({})
LISTS: Final = (
    list,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.MutableSequence,
)
_SETS: Final = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_BYTES: Final = (bytes, bytearray, memoryview)
_WRAPPERS: Final = ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "InitVar")
_DEEPEST: Final = 30
_DEEPEST_SHOWN: Final = 11
"""Levels of an input that its schema shows: deeper down any value is said to do, and is checked
where it is made."""
_JSON_SCALARS: Final = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads annotations; `seen` are the classes that it is inside of, `depth` is how deep it is."""

    seen: tuple[type, ...] = ()
    depth: int = 0

    def kind(self, annotation: Any) -> Kind:
        """Return what an annotation means.

        Raises:
            UnclearError: nothing in JSON can be made into it.
        """
        annotation = plain(annotation)
        # A name that stands for itself inside of what it names is shown as any value.
        if is_bare(annotation) or self.depth > _DEEPEST:
            return ANYTHING
        kind = replace(self, depth=self.depth + 1).without_wrappers(annotation)
        return Kind({}, kind.make) if self.depth > _DEEPEST_SHOWN else kind

    def without_wrappers(self, annotation: Any) -> Kind:
        """Return what an annotation means that says something."""
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            inner, *details = typing.get_args(annotation)
            return bounds.bounded(self.kind(inner), details)
        if origin in (typing.Union, UnionType):
            return self._union(typing.get_args(annotation))
        if origin is typing.Literal:
            return _one_of({value: value for value in typing.get_args(annotation)}, "literal")
        if not isinstance(origin or annotation, type) and annotation is not None:
            raise UnclearError(f"servd does not know what {shown_type(annotation)} is")
        container = self._container(origin or annotation, typing.get_args(annotation))
        return container or self._plain(annotation)

    def record(self, annotation: Any) -> Record | None:
        """Return the named parts of a class that has such; None for other annotations."""
        annotation = plain(annotation)
        cls = typing.get_origin(annotation) or annotation
        if not isinstance(cls, type) or not records.is_record(cls):
            return None
        return records.read(cls, replace(self, seen=(*self.seen, cls)).kind)

    def _plain(self, annotation: Any) -> Kind:
        cls = typing.get_origin(annotation) or annotation
        found = _SCALARS.get(cls)
        if found is not None:
            return found
        if issubclass(cls, enum.Enum):
            return _enum(cls)
        if cls in self.seen:
            return self._again(cls)
        record = self.record(annotation)
        if record is not None:
            return record.kind
        kind = foreign.kind(annotation)
        if kind is not None:
            return kind
        raise UnclearError(
            f"servd cannot make {shown_type(annotation)} of JSON",
            hint="what it can make: numbers, texts, bytes, lists, dicts, dates, enums, "
            "dataclasses, TypedDict, NamedTuple, and pydantic's, msgspec's and attrs' classes",
        )

    def _again(self, cls: type) -> Kind:
        """Return what a class means inside itself: read when the first value of it comes."""
        made: list[Kind] = []

        def build(value: Any) -> Any:
            if not made:
                made.append(Reader().kind(cls))
            return made[0](value)

        return Kind({"title": cls.__name__}, build)

    def _union(self, members: tuple[Any, ...]) -> Kind:
        others = [self.kind(each) for each in members if each not in (None, type(None))]
        kind = others[0] if len(others) == 1 else _either(others)
        return nullable(kind) if len(others) < len(members) else kind

    def _container(self, origin: Any, arguments: tuple[Any, ...]) -> Kind | None:
        if origin is tuple:
            return self._tuple(arguments)
        if origin in LISTS:
            return _array(self.kind(arguments[0] if arguments else Any), None)
        if origin in (*_SETS, collections.deque):
            made = list if origin is list else origin if isinstance(origin, type) else set
            made = made if made in (set, frozenset, collections.deque) else set
            return _array(self.kind(arguments[0] if arguments else Any), made)
        if origin in _MAPPINGS:
            keys, values = arguments or (str, Any)
            return _mapping(self.kind(keys), self.kind(values), is_text=keys in (str, Any))
        return None

    def _tuple(self, arguments: tuple[Any, ...]) -> Kind:
        if not arguments or arguments[1:] == (Ellipsis,):
            return _array(self.kind(arguments[0] if arguments else Any), tuple)
        return _fixed([self.kind(each) for each in arguments if each != ()])


def is_bare(annotation: Any) -> bool:
    """Tell whether an annotation says nothing."""
    is_any = annotation is Any or annotation is object
    return is_any or isinstance(annotation, (typing.TypeVar, typing.ForwardRef, str))


def plain(annotation: Any) -> Any:
    """Return what an annotation means without its wrappers: an alias' value, a NewType's base."""
    for _ in range(20):
        origin = typing.get_origin(annotation)
        if is_new_type(annotation):
            annotation = annotation.__supertype__
        elif isinstance(annotation, typing.TypeVar):
            return annotation.__bound__ or Any
        elif getattr(origin, "_name", "") in _WRAPPERS:
            (annotation,) = typing.get_args(annotation)
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif type(annotation).__name__ == "InitVar":
            annotation = annotation.type
        else:
            return annotation
    return annotation


def shown_type(annotation: Any) -> str:
    """Return an annotation as it is written in code."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        module = annotation.__module__.partition(".")[0]
        name = annotation.__qualname__
        return name if module in ("builtins", "__main__") else f"{module}.{name}"
    try:
        return repr(annotation).replace("typing.", "")[:100]
    except Exception:  # noqa: BLE001  (a class of the model's may have any repr)
        return type(annotation).__name__


# --- values without parts ---


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise unlike("a whole number", value, "int_type")


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise unlike("a number", value, "float_type")
    try:
        return float(value)
    except OverflowError:
        raise unlike("a number that a float can hold", value, "float_type") from None


def _checked(kind: type, wanted: str, word: str) -> Callable[[Any], Any]:
    def build(value: Any) -> Any:
        if type(value) is not kind:
            raise unlike(wanted, value, word)
        return value

    return build


def _of_text(make: Callable[[str], Any], wanted: str, word: str) -> Callable[[Any], Any]:
    """Return what makes a value of a text, which says so where it cannot."""

    def build(value: Any) -> Any:
        if type(value) is not str:
            raise unlike(wanted, value, word)
        try:
            return make(value)
        except (ValueError, ArithmeticError):
            raise unlike(wanted, value, word) from None

    return build


def _decimal(value: Any) -> decimal.Decimal:
    if type(value) in (int, float):
        return decimal.Decimal(repr(value))
    return _decimal_of_text(value)  # type: ignore[no-any-return]


def _seconds(value: Any) -> dt.timedelta:
    try:
        return dt.timedelta(seconds=_number(value))
    except (OverflowError, ValueError):
        raise unlike("a number of seconds", value, "time_delta_type") from None


def decoded(value: Any) -> bytes:
    """Return the bytes of base64 text."""
    if type(value) is not str:
        raise unlike("bytes as base64 text", value, "bytes_type")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise unlike("bytes as base64 text", value, "bytes_type") from None


_decimal_of_text = _of_text(decimal.Decimal, "a decimal number", "decimal_type")
_TEXT: Final = Kind({"type": "string"}, _checked(str, "a text", "string_type"))
BASE64: Final = {"type": "string", "contentEncoding": "base64"}


def _formatted(name: str, make: Callable[[str], Any], wanted: str, word: str) -> Kind:
    return Kind({"type": "string", "format": name}, _of_text(make, wanted, word))


def _bytes_kind(cls: Callable[[bytes], Any]) -> Kind:
    return Kind(BASE64, lambda value: cls(decoded(value)))


def _path_kind(cls: type) -> Kind:
    return Kind({"type": "string"}, _of_text(cls, "a path", "path_type"))


_SCALARS: Final[dict[Any, Kind]] = {
    int: Kind({"type": "integer"}, _whole),
    float: Kind({"type": "number"}, _number),
    bool: Kind({"type": "boolean"}, _checked(bool, "true or false", "bool_type")),
    str: _TEXT,
    None: Kind({"type": "null"}, _checked(type(None), "null", "none_required")),
    type(None): Kind({"type": "null"}, _checked(type(None), "null", "none_required")),
    **{cls: _bytes_kind(cls) for cls in _BYTES},
    dt.datetime: _formatted(
        "date-time",
        datetime_of,
        'a date and time such as "2026-11-26T08:00:00"',
        "datetime_type",
    ),
    dt.date: _formatted("date", date_of, 'a date such as "2026-11-26"', "date_type"),
    dt.time: _formatted("time", time_of, 'a time such as "08:00:00"', "time_type"),
    dt.timedelta: Kind({"type": "number", "description": "seconds"}, _seconds),
    decimal.Decimal: Kind({"type": ["number", "string"]}, _decimal),
    uuid.UUID: _formatted("uuid", uuid.UUID, "a UUID", "uuid_type"),
    **{cls: _path_kind(cls) for cls in (pathlib.Path, pathlib.PurePath)},
}


def _enum(cls: type[enum.Enum]) -> Kind:
    values = {member: member.value for member in cls}
    if all(type(value) in _JSON_SCALARS for value in values.values()):
        return _one_of({value: member for member, value in values.items()}, "enum")
    return _one_of({member.name: member for member in cls}, "enum")


def _one_of(members: dict[Any, Any], word: str) -> Kind:
    """Return the kind of a few values. They are told by type as well: true is not 1."""
    allowed = [member.value if isinstance(member, enum.Enum) else member for member in members]
    if not allowed or not all(type(value) in _JSON_SCALARS for value in allowed):
        raise UnclearError(f"JSON has no {' or '.join(map(repr, members)) or 'value of no kind'}")
    found = {
        (type(value), value): member
        for value, member in zip(allowed, members.values(), strict=True)
    }
    wanted = "one of " + ", ".join(shown_value(value) for value in allowed[:20])

    def build(value: Any) -> Any:
        try:
            return found[type(value), value]
        except (KeyError, TypeError):
            raise unlike(wanted, value, word) from None

    return Kind({"enum": allowed}, build)


def shown_value(value: Any) -> str:
    """Return a value as JSON writes it."""
    names = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _either(kinds: list[Kind]) -> Kind:
    """Return the kind of what is of any of these: the first that takes a value makes it."""

    def build(value: Any) -> Any:
        faults = []
        for kind in kinds:
            try:
                return kind(value)
            except InputError as error:
                faults += error.faults
        # Whoever found the fault inside the value knew more of it than those who took no look.
        inside = [each for each in faults if each["loc"]]
        if inside:
            raise InputError(inside)
        told = (each["msg"].removeprefix("wanted ").partition(", found")[0] for each in faults)
        raise unlike(" or ".join(dict.fromkeys(told)), value, "union")

    schemas = [kind.schema for kind in kinds]
    if all([*schema] == ["type"] and isinstance(schema["type"], str) for schema in schemas):
        return Kind({"type": [schema["type"] for schema in schemas]}, build)
    return Kind({"anyOf": schemas}, build)


# --- values of parts ---


def _array(item: Kind, make: Any) -> Kind:
    """Return the kind of an array of any length; `make` is what it is made into, if not a list."""
    make_item = item.make

    def build(value: Any) -> Any:
        if type(value) is not list:
            raise unlike("an array", value, "list_type")
        parts = value if make_item is None else _each(value, make_item)
        return parts if make is None else _hashed(make, parts)

    schema = {"type": "array", **({"items": item.schema} if item.schema else {})}
    return Kind(schema, build)


def _each(values: list[Any], make: Callable[[Any], Any]) -> list[Any]:
    try:
        return [make(value) for value in values]
    except InputError:
        at = 0
        for at, value in enumerate(values):
            try:
                make(value)
            except InputError as error:
                raise error.below(at) from None
        raise


def _hashed(make: Any, parts: list[Any]) -> Any:
    try:
        return make(parts)
    except TypeError:
        raise unlike("values that a set can hold", parts, "set_type") from None


def _fixed(kinds: list[Kind]) -> Kind:
    """Return the kind of an array with a kind for each place."""
    count = len(kinds)

    def build(value: Any) -> Any:
        if type(value) is not list or len(value) != count:
            raise unlike(f"an array of {count}", value, "tuple_type")
        return tuple(at(kind, value[place], place) for place, kind in enumerate(kinds))

    schemas = [kind.schema for kind in kinds]
    size = {"minItems": count, "maxItems": count}
    return Kind({"type": "array", "prefixItems": schemas, "items": False, **size}, build)


def _mapping(keys: Kind, values: Kind, *, is_text: bool) -> Kind:
    """Return the kind of an object of any names."""

    def build(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise unlike("an object", value, "dict_type")
        if values.make is None and is_text:
            return value
        return {
            name if is_text else _key(keys, name): at(values, inner, name)
            for name, inner in value.items()
        }

    inner = {"additionalProperties": values.schema} if values.schema else {}
    return Kind({"type": "object", **inner}, build)


def _key(keys: Kind, name: str) -> Any:
    """Return the key of a name: JSON has texts only, also for numbers."""
    for value in (name, *_read(name)):
        try:
            return keys(value)
        except InputError:
            continue
    raise unlike("another name", name, "dict_key")


def _read(name: str) -> list[Any]:
    for read in (int, float):
        try:
            return [read(name)]
        except ValueError:
            continue
    return []

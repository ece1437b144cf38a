"""Classes with named parts: dataclasses, TypedDict, NamedTuple, attrs, pydantic's and msgspec's.

The last two are asked for their own JSON Schema, and make and check their values themselves; of the
others the parts are read here. `of` is how a part's annotation is understood (kinds.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import sys
import typing
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from model_runtime.annotations import dates, schemas, texts
from model_runtime.annotations.kind import MISSING, Field, Kind, Record, UnclearError
from model_runtime.older import dataclass
from model_runtime.refusals import InputError, at, fault, unlike
from model_runtime.signature import IGNORE, REFUSE, Schema

Of = Callable[[Any], Kind]

_PLAIN_FACTORIES: Final = (list, dict, set, tuple, frozenset, str, int, float, bool)
_NONE: Final = dataclasses.MISSING


def is_record(cls: type) -> bool:
    """Tell whether a class has named parts that are known here."""
    return _reader(cls) is not None


def read(cls: type, of: Of) -> Record:
    """Return the parts of a class.

    Raises:
        UnclearError: JSON cannot say one of them.
    """
    reader = _reader(cls)
    if reader is None:
        raise UnclearError(f"{cls.__name__} has no named parts")
    return reader(cls, of)


def _reader(cls: type) -> Callable[[type, Of], Record] | None:
    found = {
        _pydantic: _is_pydantic(cls),
        _msgspec: _has(cls, "__struct_fields__") and type(cls).__module__.startswith("msgspec"),
        _attrs: _has(cls, "__attrs_attrs__"),
        _dataclass: dataclasses.is_dataclass(cls),
        _typed_dict: issubclass(cls, dict) and _has(cls, "__required_keys__"),
        _named_tuple: issubclass(cls, tuple) and _has(cls, "_field_defaults"),
    }
    return next((reader for reader, is_one in found.items() if is_one), None)


def _has(cls: type, name: str) -> bool:
    """Tell whether a class has a name; its metaclass may make up others."""
    return any(name in vars(base) for base in cls.__mro__)


def _is_pydantic(cls: type) -> bool:
    names = {(base.__module__.partition(".")[0], base.__name__) for base in cls.__mro__}
    return ("pydantic", "BaseModel") in names


# --- classes whose parts are read here ---


@dataclass(frozen=True, slots=True)
class _Part:
    """A field, and the argument of the class' constructor that it is."""

    field: Field
    argument: str


def hints_of(target: Any) -> dict[str, Any]:
    """Return the annotations of a class or function, resolved where they are texts.

    One that cannot be resolved does not hide the others: it is an `Unresolved`.
    """
    if texts.IS_READ_BY_PYTHON:
        # Resolving runs the annotations: anything may come of it.
        with suppress(Exception):
            return typing.get_type_hints(target, include_extras=True)
    owners = reversed(getattr(target, "__mro__", (target,)))
    return {
        name: _resolved(annotation, owner)
        for owner in owners
        for name, annotation in (getattr(owner, "__annotations__", None) or {}).items()
    }


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An annotation that cannot be understood, and why."""

    text: str
    reason: str


def _resolved(annotation: Any, owner: Any) -> Any:
    known = None
    asked = annotation
    if not texts.IS_READ_BY_PYTHON:
        known, asked = texts.NAMES, texts.readable(annotation)
    space = type("Space", (), {"__annotations__": {"x": asked}, "__module__": owner.__module__})
    inner = owner
    while hasattr(inner, "__wrapped__"):  # where its annotations were written
        inner = inner.__wrapped__
    names = getattr(inner, "__globals__", None)
    try:
        read = typing.get_type_hints(space, globalns=names, localns=known, include_extras=True)["x"]
        if texts.IS_READ_BY_PYTHON or (inside := texts.readable(read)) is read:
            return read
        space.__annotations__["x"] = inside  # what a name stands for had texts inside
        return typing.get_type_hints(space, globalns=names, localns=known, include_extras=True)["x"]
    except Exception as error:  # noqa: BLE001  (as above)
        return Unresolved(f"{annotation}"[:100], f"{type(error).__name__}: {error}"[:200])


def _dataclass(cls: Any, of: Of) -> Record:
    hints = hints_of(cls)
    parts = []
    for each in cls.__dataclass_fields__.values():
        kind = each._field_type  # noqa: SLF001  (nothing else tells what only __init__ gets)
        if kind.name == "_FIELD_CLASSVAR" or not each.init:
            continue
        default, factory = each.default, each.default_factory
        made = _default(default, factory)
        parts.append(_Part(_field(each.name, hints.get(each.name, Any), made, of, cls), each.name))
    return _read_record(cls, parts, cls)


def _attrs(cls: Any, of: Of) -> Record:
    hints = hints_of(cls)
    parts = []
    for each in cls.__attrs_attrs__:
        if not each.init:
            continue
        argument = getattr(each, "alias", None) or each.name.lstrip("_")
        made = _attrs_default(each.default)
        parts.append(_Part(_field(argument, hints.get(each.name, Any), made, of, cls), argument))
    return _read_record(cls, parts, cls)


def _attrs_default(default: Any) -> Default:
    if getattr(default, "name", "") == "NOTHING":
        return Default(MISSING)
    if type(default).__name__ == "Factory":
        return _default(_NONE, _unholdable if default.takes_self else default.factory)
    return _default(default, _NONE)


def _typed_dict(cls: Any, of: Of) -> Record:
    hints = hints_of(cls)
    parts = []
    for name, annotation in hints.items():
        # Of annotations that are texts the class itself does not see what they say.
        said = getattr(typing.get_origin(annotation), "_name", "")
        is_needed = name in cls.__required_keys__ and said != "NotRequired"
        is_dropped = not (is_needed or said == "Required")
        default = Default(None, is_dropped=True) if is_dropped else Default(MISSING)
        parts.append(_Part(_field(name, annotation, default, of, cls), name))
    return _read_record(cls, parts, dict)


def _named_tuple(cls: Any, of: Of) -> Record:
    hints = hints_of(cls)
    parts = []
    for name in cls._fields:
        default = cls._field_defaults.get(name, _NONE)
        made = _default(default, _NONE)
        parts.append(_Part(_field(name, hints.get(name, Any), made, of, cls), name))
    return _read_record(cls, parts, cls)


@dataclass(frozen=True, slots=True)
class Default:
    """A default in JSON's terms; `is_dropped` where JSON cannot say it, or should not."""

    value: Any
    is_dropped: bool = False

    def fit_for(self, kind: Kind) -> Default:
        """Return it, or that it is dropped where it is none of a kind, as in `size: int = None`."""
        if self.value is MISSING or self.is_dropped:
            return self
        try:
            kind(self.value)
        except InputError:
            return Default(None, is_dropped=True)
        return self


def _unholdable() -> Any:
    return object()


def _default(value: Any, factory: Any) -> Default:
    if value is _NONE and factory is _NONE:
        return Default(MISSING)
    if value is _NONE:
        # What another factory makes may differ from call to call.
        if factory not in _PLAIN_FACTORIES:
            return Default(None, is_dropped=True)
        value = factory()
    return default_of(value)


def default_of(value: Any) -> Default:
    """Return a Python value as the default of a field."""
    try:
        return Default(as_json(value))
    except ValueError:
        return Default(None, is_dropped=True)


def as_json(value: Any) -> Any:
    """Return a value as the JSON that it would be made of.

    Raises:
        ValueError: there is none.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float and value - value == 0:
        return value
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [as_json(each) for each in value]
    if isinstance(value, (set, frozenset)) and not value:
        return []
    if isinstance(value, dict) and all(type(name) is str for name in value):
        return {name: as_json(each) for name, each in value.items()}
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    raise ValueError(value)


def _field(name: str, annotation: Any, default: Default, of: Of, cls: type) -> Field:
    if isinstance(annotation, Unresolved):
        raise UnclearError(
            f"the annotation {annotation.text} of {cls.__name__}.{name} cannot be read: "
            f"{annotation.reason}"
        )
    try:
        kind = of(annotation)
    except UnclearError as error:
        raise UnclearError(f"{cls.__name__}.{name}: {error}", hint=error.hint) from error
    default = default.fit_for(kind)
    return Field(name=name, kind=kind, default=default.value, is_dropped=default.is_dropped)


def _read_record(cls: type, parts: list[_Part], constructor: Callable[..., Any]) -> Record:
    """Return the record of a class that is made by keywords."""
    fields = tuple(part.field for part in parts)
    steps = [(part.field.name, part.argument, part.field.kind) for part in parts]
    dropped = {each.name for each in fields if each.is_dropped and not each.kind.takes_null}

    def make(values: dict[str, Any]) -> Any:
        made = {}
        for name, argument, kind in steps:
            if name in values:
                value = values[name]
                if not (value is None and name in dropped):
                    made[argument] = at(kind, value, name)
        return _made(constructor, made)

    return Record(
        fields=fields,
        kind=Kind(_schema(cls, fields), _whole(fields, make)),
        make=make,
        title=cls.__name__,
    )


def _made(constructor: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return constructor(**values)
    except InputError:
        raise
    except (ValueError, AssertionError) as error:  # how a class says that it will not be so
        raise fault(_text_of(error), "value_error") from error


def _schema(cls: type, fields: tuple[Field, ...]) -> Schema:
    """Return the schema of an object of these fields, as a part of something else."""
    properties = {each.name: each.schema for each in fields}
    required = [each.name for each in fields if each.default is MISSING]
    schema: Schema = {"type": "object", "title": cls.__name__, "properties": properties}
    return schema | ({"required": required} if required else {}) | {"additionalProperties": False}


def _whole(
    fields: tuple[Field, ...], make: Callable[[dict[str, Any]], Any]
) -> Callable[[Any], Any]:
    """Return what makes a record of a value that is to be an object, and checks its names."""
    known = dict.fromkeys(each.name for each in fields)
    needed = [each.name for each in fields if each.default is MISSING]

    def whole(value: Any) -> Any:
        if type(value) is not dict:
            raise unlike("an object", value, "object_type")
        for name in needed:
            if name not in value:
                raise fault("it is missing", "missing", (name,))
        for name in value:
            if name not in known:
                names = ", ".join(list(known)[:10])
                raise fault(f"there is no such name; there are {names}", "extra_forbidden", (name,))
        return make(value)

    return whole


# --- classes of libraries that check by themselves ---


def _pydantic(cls: Any, of: Of) -> Record:
    del of
    is_second = hasattr(cls, "model_validate")
    schema = schemas.flat(cls.model_json_schema() if is_second else cls.schema())
    config = cls.model_config if is_second else vars(cls.Config)
    validate = cls.model_validate if is_second else cls.parse_obj
    if is_second and config.get("strict"):

        def validate(values: Any) -> Any:  # so that texts are taken for dates, which JSON lacks
            return cls.model_validate_json(json.dumps(values))

    said = str(getattr(config.get("extra"), "value", config.get("extra")))
    extra = {"ignore": IGNORE, "allow": IGNORE, "forbid": REFUSE}.get(said)
    return _schema_record(cls, schema, validate, extra)


def _msgspec(cls: Any, of: Of) -> Record:
    del of
    msgspec: Any = sys.modules["msgspec"]  # the model's, as its class is
    schema = schemas.flat(dates.dated(msgspec, cls))
    extra = REFUSE if cls.__struct_config__.forbid_unknown_fields else None

    def convert(value: Any) -> Any:
        return msgspec.convert(value, cls)

    return _schema_record(cls, schema, convert, extra)


def _schema_record(
    cls: type, schema: Schema, validate: Callable[[Any], Any], extra: str | None
) -> Record:
    """Return the record of a class that has a schema and a way to make its values."""
    properties = schema.get("properties")

    def make(value: Any) -> Any:
        try:
            return validate(value)
        except Exception as error:
            told = _told(error)
            if told is None:
                raise
            raise told from error

    kind = Kind(schema, make)
    if not isinstance(properties, dict):
        return Record(fields=(), kind=kind, make=make, extra=extra, title=cls.__name__)
    required = schema.get("required", ())
    fields = tuple(_schema_field(name, each, name in required) for name, each in properties.items())
    return Record(fields=fields, kind=kind, make=make, extra=extra, title=cls.__name__)


def _schema_field(name: str, schema: Schema, is_required: bool) -> Field:  # noqa: FBT001
    if is_required:
        return Field(name=name, kind=Kind(schema))
    default = schema.get("default", MISSING)
    if default is not MISSING and (default is not None or _takes_null(schema)):
        return Field(
            name=name,
            kind=Kind({k: v for k, v in schema.items() if k != "default"}),
            default=default,
        )
    return Field(name=name, kind=Kind(schema), default=None, is_dropped=True)


def _takes_null(schema: Schema) -> bool:
    kinds = schema.get("type", [])
    said = kinds if isinstance(kinds, list) else [kinds]
    if said or "enum" in schema:
        return "null" in said or None in schema.get("enum", ())
    parts = schema.get("anyOf")
    return parts is None or any(_takes_null(each) for each in parts)


_PLACE: Final = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


def _told(error: BaseException) -> InputError | None:
    """Return what a class says of values that it refuses; None where it has failed otherwise."""
    if isinstance(error, InputError):
        return error
    library = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    listed = getattr(error, "errors", None)
    if "pydantic" in library or "pydantic_core" in library:
        if callable(listed):
            return InputError([_pydantic_fault(each) for each in listed()])
    elif "msgspec" in library and type(error).__name__ == "ValidationError":
        text = str(error)
        place = _PLACE.search(text)
        steps = _STEP.findall(place[1]) if place else ()
        where = [name or int(number or 0) for name, number in steps]
        return InputError([{"loc": where, "msg": _PLACE.sub("", text), "type": "msgspec"}])
    if isinstance(error, (ValueError, AssertionError)):
        return fault(_text_of(error), "value_error")
    return None


def _text_of(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _pydantic_fault(found: dict[str, Any]) -> dict[str, Any]:
    steps = [part for part in found.get("loc", ()) if part != "__root__"]
    place = [part if isinstance(part, int) else str(part) for part in steps]
    return {"loc": place, "msg": str(found.get("msg")), "type": str(found.get("type"))}

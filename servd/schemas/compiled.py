"""A signature that has been made ready to read inputs by. The door of this package.

`compiled` makes one, and keeps those that were used last. What `one` and `columns` (types of
msgspec) take, `to_row` and `to_rows` make rows of, unless they raise; then `check` and
`check_batch`, which are slow, have the last word.
"""

import base64
import hashlib
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Union

import msgspec

from model_runtime.signature import IGNORE, Signature
from servd.datatypes import InputType
from servd.schemas.checking import check, is_of_kind, tell_missing, tell_unknown
from servd.schemas.examples import example_of
from servd.schemas.faults import Faults, Loc, found, listed, place, wanted
from servd.schemas.shapes import Shape, UnfitError, are_sayable, shape_of, struct_of

KEPT: Final = 64
_LONGEST_ROW: Final = 1 << 16

_encode: Final = msgspec.json.Encoder().encode
_NAN: Final = float("nan")
_LETTERS: Final = {InputType.DOUBLES: "d", InputType.FLOATS: "f", InputType.INTEGERS: "i"}
UNREADABLE: Final = (
    *(msgspec.MsgspecError, UnicodeError, RecursionError),
    *(ValueError, OverflowError, struct.error),
)
"""What reading by `one` or `columns` and making rows raises for what is to be checked."""

_kept: OrderedDict[bytes, "Compiled"] = OrderedDict()
_last: OrderedDict[int, tuple[Signature, "Compiled"]] = OrderedDict()
"""The same by the signatures themselves, which are held here so that no other has their id."""


def compiled(signature: Signature) -> "Compiled":
    """Return what reads inputs by a signature; equal signatures share one."""
    known = _last.get(id(signature))
    if known is not None:
        return known[1]
    found = _shared(signature)
    _last[id(signature)] = signature, found
    if len(_last) > KEPT:
        _last.popitem(last=False)
    return found


def _shared(signature: Signature) -> "Compiled":
    text = msgspec.json.encode(signature.as_json())
    key = hashlib.blake2b(text, digest_size=16).digest()
    known = _kept.get(key)
    if known is None:
        known = _kept[key] = Compiled(signature)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return known


class Compiled:
    """Reads the inputs of one signature.

    `one` is the type of an input for msgspec, `to_row` makes the row of a value of it. `columns` is
    that of several inputs as columns, None where they have no names, and `to_rows` makes their
    rows. All of these raise one of `UNREADABLE` for what `check` and `check_batch` are to look at.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.input_type = InputType(signature.input_type)
        self.fields = _base64(self.input_type, signature.fields)
        self.value = _base64(self.input_type, {"": signature.value})[""]
        if self.input_type is InputType.ANY and self.fields is not None:
            self.fields, self.value = None, signature.input_schema()
        if self.fields is not None and _is_list(self.value):
            self.value = None  # of numbers in the order of the fields, which say more of them
        self.names = list(self.fields or ())
        self.is_closed = signature.extra != IGNORE
        self.pack = _packer(self.input_type, len(self.names))
        if self.fields is None and self.input_type in (InputType.ROWS, InputType.ANY):
            self.pack = lambda values: _encode(values[0])
        if self.fields is None and self.input_type in _LETTERS:
            self.pack = _row_packer(_LETTERS[self.input_type])
        self._defaults = self._find_defaults()
        shapes = [shape_of(schema) for schema in (self.fields or {}).values()]
        self._fixes = [(at, each.fix) for at, each in enumerate(shapes) if each.fix is not None]
        self._struct = self._find_struct(shapes)
        self.one: Any = self._find_one(shapes)
        self.columns: Any = self._find_columns(shapes)
        self._whole = self._find_whole()
        self.to_row: Callable[[Any], bytes] = self._find_to_row()

    # --- by msgspec ---

    def _find_defaults(self) -> dict[str, Any]:
        """Return what stands for fields that are left out, as it is in rows."""
        given = self.fields or {}
        return {
            name: check(schema, schema["default"], (name,), Faults())
            for name, schema in given.items()
            if name not in self.signature.required and isinstance(schema, dict)
        }

    def _find_struct(self, shapes: list[Shape]) -> type[msgspec.Struct] | None:
        if self.fields is None or not are_sayable(self.names):
            return None
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for name, shape in zip(self.names, shapes, strict=True):
            if name in self._defaults:
                default = self._defaults[name]
                if isinstance(default, (list, dict)):
                    default = msgspec.field(default_factory=_copier(default))
                elif shape.type is bytes:
                    default = base64.b64decode(default)
                fields.append((name, shape.type, default))
            else:
                fields.append((name, shape.type))
        return struct_of(fields, is_closed=self.is_closed)

    def _find_one(self, shapes: list[Shape]) -> Any:
        """Return the type of an input: an object, an array in order, or the bare value."""
        if self.fields is None:
            return self._find_nameless()
        kinds: list[Any] = [] if self._struct is None else [self._struct]
        if self.value is None:
            kinds.append(tuple[tuple(shape.type for shape in shapes)])  # type: ignore[misc]
        else:
            bare = shape_of(self.value)
            if bare.fix is None and bare.type is not Any:
                kinds.append(bare.type)
        try:
            kind: Any = Union[tuple(kinds)]  # noqa: UP007  # types that are made at run time
            msgspec.json.Decoder(kind)
        except TypeError:  # such as of two kinds of objects, which msgspec does not tell apart
            return msgspec.Raw
        return kind

    def _find_nameless(self) -> Any:
        """Return the type of an input without names: JSON of any kind is taken as it is."""
        if self.input_type in (InputType.ANY, InputType.ROWS):
            return msgspec.Raw
        bare = shape_of(True if self.value is None else self.value)
        return msgspec.Raw if bare.fix is not None or bare.type is Any else bare.type

    def _find_whole(self) -> "msgspec.json.Decoder[Any] | None":
        """Return what reads an input that is taken as it is, to see that it is right."""
        if self.fields is not None or self.value is None or self.input_type is not InputType.ANY:
            return None
        shape = shape_of(self.value)
        is_sayable = shape.fix is None and shape.type is not Any
        return msgspec.json.Decoder(shape.type) if is_sayable else None

    def _find_columns(self, shapes: list[Shape]) -> Any:
        if self._struct is None or not self.names:
            return None
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for name, shape in zip(self.names, shapes, strict=True):
            column = list[shape.type]  # type: ignore[name-defined]  # made at run time
            if name in self._defaults:
                fields.append((name, Union[column, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
            else:
                fields.append((name, column))
        return struct_of(fields, is_closed=self.is_closed)

    def _find_to_row(self) -> Callable[[Any], bytes]:
        if self.one is msgspec.Raw:
            return self._raw_to_row
        pack, astuple = self.pack, msgspec.structs.astuple
        if self.fields is None:
            return pack if self.input_type in _LETTERS else lambda value: pack((value,))
        fix, named = self._fixed if self._fixes else None, self._struct
        if self.value is None:
            if fix is None:
                return lambda value: pack(value if type(value) is tuple else astuple(value))
            return lambda value: pack(fix(value if type(value) is tuple else astuple(value)))
        others = tuple(self._bare_others())

        def to_row(value: Any) -> bytes:
            values = astuple(value) if type(value) is named else (value, *others)
            return pack(values if fix is None else fix(values))

        return to_row

    def _fixed(self, values: Sequence[Any]) -> list[Any]:
        fixed = list(values)
        for at, fix in self._fixes:
            fixed[at] = fix(fixed[at])
        return fixed

    def _raw_to_row(self, raw: msgspec.Raw) -> bytes:
        if self._whole is not None:
            with suppress(msgspec.MsgspecError):
                self._whole.decode(raw)
                return bytes(raw)
        faults = Faults()
        row = self.check(msgspec.json.decode(raw), ("input",), faults)
        if faults:
            raise UnfitError
        return bytes(raw) if self.input_type is InputType.ANY else row

    def _bare_others(self) -> list[Any]:
        """Return what follows a bare value in its row."""
        return [self._defaults[name] for name in self.names[1:] if name in self._defaults]

    def to_rows(self, columns: Any) -> list[bytes]:
        """Return the rows of inputs that came as columns."""
        given = msgspec.structs.astuple(columns)
        counts = {len(column) for column in given if column is not msgspec.UNSET}
        if len(counts) != 1:
            raise UnfitError
        (count,) = counts
        filled = [
            [self._default_of(name)] * count if column is msgspec.UNSET else column
            for name, column in zip(self.names, given, strict=True)
        ]
        for at, fix in self._fixes:
            filled[at] = list(map(fix, filled[at]))
        return list(map(self.pack, zip(*filled, strict=True)))

    def _default_of(self, name: str) -> Any:
        default = self._defaults[name]
        is_bytes = self.input_type is InputType.BYTES and isinstance(default, str)
        return base64.b64decode(default) if is_bytes else default

    # --- the last word ---

    def check(self, value: Any, loc: Loc, faults: Faults) -> bytes:
        """Return the row of a JSON value; what is wrong is added to `faults`, the row is of no use.

        `loc` is where it stands.
        """
        before = len(faults)
        values = self._values(value, loc, faults)
        if len(faults) > before:
            return b""
        try:
            return self.pack(values)
        except (struct.error, OverflowError, ValueError, TypeError):
            self._tell_unpackable(values, loc, faults)
            return b""

    def _values(self, value: Any, loc: Loc, faults: Faults) -> Sequence[Any]:
        """Return the values of an input in order, whichever way it came."""
        if self.fields is None:
            checked = check(self.value if self.value is not None else True, value, loc, faults)
            is_row = self.input_type in _LETTERS and isinstance(checked, list)
            return checked if is_row else [checked]
        if isinstance(value, dict):
            return self._by_name(value, loc, faults)
        if self.value is not None:
            if not is_of_kind(self.value, value):
                faults.add(loc, f"wanted {self.wanted}, found {found(value)}", "type", value)
                return ()
            return [check(self.value, value, loc, faults), *self._bare_others()]
        if isinstance(value, list):
            return self._in_order(value, loc, faults)
        faults.add(loc, f"wanted {self.wanted}, found {found(value)}", "dict_type", value)
        return ()

    @property
    def wanted(self) -> str:
        """What an input is, in words."""
        if self.fields is None:
            return wanted(self.value)
        by_name = f"an object with {listed(self.names)}"
        if self.value is not None:
            return f"{wanted(self.value)} or {by_name}"
        return f"{by_name}, or a list of {len(self.names)} in this order"

    def _check_names(self, value: dict[str, Any], loc: Loc, faults: Faults) -> None:
        """Tell which names should be there, and which should not."""
        fields = self.fields or {}
        unknown = [name for name in value if name not in fields] if self.is_closed else []
        missing = [name for name in fields if name not in value and name not in self._defaults]
        tell_missing({name: fields[name] for name in missing}, unknown, value, loc, faults)
        for name in unknown:
            if not faults.is_full:
                tell_unknown(name, self.names, missing, value, (*loc, name), faults)

    def _by_name(self, value: dict[str, Any], loc: Loc, faults: Faults) -> Sequence[Any]:
        self._check_names(value, loc, faults)
        return [
            check(schema, value[name], (*loc, name), faults)
            if name in value
            else self._defaults.get(name)
            for name, schema in (self.fields or {}).items()
            if not faults.is_full
        ]

    def _in_order(self, value: list[Any], loc: Loc, faults: Faults) -> Sequence[Any]:
        fields = self.fields or {}
        if len(value) != len(fields):
            count = "1 value:" if len(fields) == 1 else f"{len(fields)} values in the order"
            what = f"wanted {count} {listed(self.names)}"
            faults.add(loc, f"{what}; found {len(value)}", "length", value)
            return ()
        return [
            check(schema, item, (*loc, name), faults)
            for (name, schema), item in zip(fields.items(), value, strict=True)
            if not faults.is_full
        ]

    def _tell_unpackable(self, values: Sequence[Any], loc: Loc, faults: Faults) -> None:
        """Say which value has no place in a row."""
        names = self.names or [""]
        for name, value in zip(names, values, strict=False):
            try:
                _packer(self.input_type, 1)([value])
            except (struct.error, OverflowError, ValueError, TypeError):
                what = f"wanted a number that is one of {self.input_type}"
                at = (*loc, name) if name else loc
                faults.add(at, f"{what}, found {found(value)}", "out_of_range", value)
                return
        faults.add(loc, "it holds a value that cannot be sent on", "out_of_range")

    def check_batch(self, value: Any, loc: Loc, faults: Faults) -> list[bytes]:
        """Return the rows of several inputs as a JSON value: a list of them, or columns."""
        if isinstance(value, list):
            return list(self._rows(value, loc, faults))
        if isinstance(value, dict) and self.fields is not None and self.names:
            return list(self._rows(self._turned(value, loc, faults), loc, faults))
        self._tell_no_batch(value, loc, faults)
        return []

    def _tell_no_batch(self, value: Any, loc: Loc, faults: Faults) -> None:
        what = "a list of inputs"
        if self.fields is not None:
            what += f", or an object of columns: {listed(self.names)}"
        faults.add(loc, f"wanted {what}, found {found(value)}", "list_type", value)

    def _rows(self, values: Iterable[Any], loc: Loc, faults: Faults) -> Iterable[bytes]:
        for at, each in enumerate(values):
            if faults.is_full:
                return
            yield self.check(each, (*loc, at), faults)

    def _turned(
        self, columns: dict[str, Any], loc: Loc, faults: Faults
    ) -> Iterable[dict[str, Any]]:
        """Return columns as one object each row."""
        if not columns:
            self._tell_no_batch(columns, loc, faults)
        else:
            self._check_names(columns, loc, faults)
        for name, column in columns.items():
            if not isinstance(column, list) and (name in self.names or self.is_closed):
                what = f"wanted a list, the column's values, found {found(column)}"
                faults.add((*loc, name), what, "list_type", column)
        if faults:
            return []
        lists = {name: each for name, each in columns.items() if isinstance(each, list)}
        counts = {name: len(column) for name, column in lists.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{place((name,))} has {count}" for name, count in counts.items())
            faults.add(loc, f"columns are of unlike lengths: {told}", "length")
            return []
        if not lists:
            return []
        by_row = zip(*lists.values(), strict=True)
        return (dict(zip(lists, values, strict=True)) for values in by_row)

    @property
    def example(self) -> Any:
        """An input that it takes."""
        return example_of(self.signature)


def value_of_row(signature: Signature, row: Any) -> Any:
    """Return the input that a short row has come from, with names where it has any, or UNSET."""
    if not isinstance(row, bytes) or len(row) > _LONGEST_ROW:
        return msgspec.UNSET
    try:
        if signature.input_type == InputType.STRINGS:
            values = [row.decode()]
        elif signature.input_type in (InputType.ROWS, InputType.ANY):
            values = msgspec.json.decode(row)
        else:
            return msgspec.UNSET
    except UNREADABLE:
        return msgspec.UNSET
    if signature.input_type == InputType.ANY or signature.fields is None:
        return values if signature.input_type != InputType.STRINGS else values[0]
    if signature.value is not None and len(values) == 1:
        return values[0]
    return dict(zip(signature.fields, values, strict=False))


def _base64(input_type: InputType, schemas: Any) -> Any:
    """Return schemas that say of bytes that they are base64 text."""
    if input_type is not InputType.BYTES or schemas is None:
        return schemas
    return {
        name: schema and {**schema, "type": "string", "contentEncoding": "base64"}
        for name, schema in schemas.items()
    }


def _is_list(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "array"


def _copier(value: Any) -> Callable[[], Any]:
    text = _encode(value)
    return lambda: msgspec.json.decode(text)


def _packer(input_type: InputType, count: int) -> Callable[[Sequence[Any]], bytes]:
    """Return how the values of an input become its row."""
    if input_type is InputType.STRINGS:
        return lambda values: values[0].encode()
    if input_type is InputType.BYTES:
        return _pack_bytes
    if input_type in _LETTERS:
        return _number_packer(struct.Struct(f"<{count}{_LETTERS[input_type]}"))
    return _encode


def _pack_bytes(values: Sequence[Any]) -> bytes:
    """Return bytes, which come as themselves where msgspec has read them."""
    value = values[0]
    return base64.b64decode(value) if isinstance(value, str) else bytes(value)


def _row_packer(letter: str) -> Callable[[Sequence[Any]], bytes]:
    """Return how numbers without names, of which there may be any, become a row."""
    return lambda values: struct.pack(f"<{len(values)}{letter}", *values)


def _number_packer(packing: struct.Struct) -> Callable[[Sequence[Any]], bytes]:
    pack, is_whole = packing.pack, packing.format.endswith("i")

    def pack_numbers(values: Sequence[Any]) -> bytes:
        try:
            return pack(*values)
        except struct.error:
            if is_whole or None not in values:
                raise
            return pack(*(_NAN if value is None else value for value in values))

    return pack_numbers

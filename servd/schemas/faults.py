"""What is wrong with an input, for people and for programs. Used by all of schemas."""

import difflib
import functools
import itertools
import json
from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

MAX_FAULTS: Final = 20
"""So many are told at most: whoever has got all rows wrong needs to see few of them."""

_SHOWN: Final = 60
_HINTS: Final = 6
_LISTED: Final = 8
_LISTED_SIGNS: Final = 100
_LONGEST: Final = 250
"""Signs of what is said of one fault."""
_INPUT_BYTES: Final = 200

Loc = tuple[str | int, ...]


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: where, in words, its kind, and what stood there."""

    loc: Loc
    msg: str
    type: str
    input: Any = None


class InvalidInputError(Exception):
    """An input is not as its signature says: by `faults`, of which there is at least one."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].msg)
        self.faults = faults

    @property
    def detail(self) -> list[dict[str, Any]]:
        """The faults in JSON's terms."""
        return [
            {
                "loc": [_named_short(part) for part in fault.loc],
                "msg": fault.msg,
                "type": fault.type,
                "input": _cut(fault),
            }
            for fault in self.faults[:MAX_FAULTS]
        ]


class Faults(list[Fault]):
    """The faults that were found so far."""

    def __init__(self) -> None:
        super().__init__()
        self._hints = _HINTS

    def meant(self, name: str, names: Iterable[str]) -> str | None:
        """Return which of the names was meant, for the first names only: it takes its time."""
        self._hints -= 1
        return similar(name, names) if self._hints >= 0 else None

    @property
    def is_full(self) -> bool:
        """Whether enough has been found."""
        return len(self) >= MAX_FAULTS

    def add(self, loc: Loc, what: str, kind: str, value: Any = None) -> None:
        """Add a fault; `what` goes on after the name of the place."""
        self.append(Fault(loc, cut(f"{place(loc)}: {what}", _LONGEST), kind, value))

    def unlike(self, loc: Loc, wanted: str, value: Any, kind: str) -> None:
        """Add that something else was wanted than what was found."""
        self.add(loc, f"wanted {wanted}, found {found(value)}", kind, value)


def _named_short(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= _INPUT_BYTES else part[:_INPUT_BYTES] + "…"


def _cut(fault: Fault) -> Any:
    """Return what stood there, as far as it is short enough to be sent back."""
    try:
        is_short = len(msgspec.json.encode(fault.input)) <= _INPUT_BYTES
    except (TypeError, ValueError, OverflowError, RecursionError):
        is_short = False
    return fault.input if is_short else found(fault.input)


def place(loc: Loc) -> str:
    """Return how people write a place: `age`, `input_batch[3].age`; the input itself: `input`."""
    first, *rest = loc
    text = str(first)
    for part in rest:
        if isinstance(part, int):
            text += f"[{part}]"
        elif text in ("input", "query", "form"):
            text = named(part)
        else:
            text += f".{named(part)}"
    return text


def named(name: str) -> str:
    """Return a field's name as it is shown: in quotation marks where it would be misread."""
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    is_plain = shown.isprintable() and shown.strip() == shown and shown and ":" not in shown
    return shown if is_plain else json.dumps(shown, ensure_ascii=False)


def found(value: Any) -> str:
    """Return what came, in words."""
    match value:
        case None | bool():
            text = shown(value)
        case int() | float():
            text = f"the number {_digits(str(value))}"
        case str():
            text = f"the text {shown(value)}" if value else "an empty text"
        case list():
            text = f"a list of {len(value)}" if value else "an empty list"
        case dict():
            text = f"an object with {listed(value)}" if value else "an empty object"
        case _:
            text = "something else"
    return text


def _digits(number: str) -> str:
    return number if len(number) <= _SHOWN else f"{number[:20]}… of {len(number)} digits"


def shown(value: Any) -> str:
    """Return a value as JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Collection[str]) -> str:
    """Return some names, separated by commas."""
    return _some([named(name) for name in itertools.islice(names, _LISTED)], len(names))


def _some(texts: list[str], count: int) -> str:
    """Return as many of the first texts as are short together, and how many there are."""
    signs = itertools.accumulate(len(text) + 2 for text in texts)
    told = texts[: max(1, sum(sign <= _LISTED_SIGNS for sign in signs))]
    return ", ".join(told) + (f", … ({count} in all)" if len(told) < count else "")


def similar(name: str, names: Iterable[str]) -> str | None:
    """Return the one of the names that was meant, most likely."""
    folded = _folded(name)
    likely: dict[str, str] = {}
    for each in itertools.islice(names, _LOOKED_AT):
        other = _folded(each)
        if other == folded:
            return each
        is_like = abs(len(other) - len(folded)) <= _LENGTHS_APART and (
            other[:1] == folded[:1] or other[-1:] == folded[-1:]
        )
        if is_like and len(likely) < _COMPARED:
            likely[other] = each
    close = difflib.get_close_matches(folded, likely, 1, 0.75)
    return likely[close[0]] if close else None


_LOOKED_AT: Final = 2000
_COMPARED: Final = 100
"""Comparing takes 10 µs: of more names like it only the first are compared."""
_LENGTHS_APART: Final = 3


@functools.lru_cache(1 << 13)
def _folded(name: str) -> str:
    return "".join(sign for sign in name[:_SHOWN].casefold() if sign.isalnum()) or name


_KINDS: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def wanted(schema: Any) -> str:
    """Return what a schema wants, in words."""
    if not isinstance(schema, dict):
        return "anything" if schema else "nothing"
    if "const" in schema:
        return shown(schema["const"])
    if "enum" in schema:
        return _one_of(schema["enum"])
    if "anyOf" in schema and "type" not in schema:
        return " or ".join(dict.fromkeys(map(wanted, schema["anyOf"]))) or "nothing"
    kinds = schema.get("type", [])
    words = [_of_kind(kind, schema) for kind in (kinds if isinstance(kinds, list) else [kinds])]
    return " or ".join(words) or "anything"


def _one_of(values: list[Any]) -> str:
    some = _some([*map(shown, values[:_LISTED])], len(values))
    return f"one of {some}" if len(values) > 1 else some


def _of_kind(kind: str, schema: dict[str, Any]) -> str:
    text = _KINDS[kind]
    if kind in ("integer", "number"):
        return text + bounds(schema)
    if kind == "string":
        return _text(schema)
    if kind == "array":
        return _list(schema)
    if kind == "object" and schema.get("properties"):
        return f"{text} with {listed(schema['properties'])}"
    return text


def bounds(schema: dict[str, Any]) -> str:
    """Return what a schema asks of a number's size."""
    low, high = schema.get("minimum"), schema.get("maximum")
    over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = [
        "" if low is None else f"from {low}" if high is not None else f"of at least {low}",
        "" if high is None else f"to {high}" if low is not None else f"of at most {high}",
        "" if over is None else f"above {over}",
        "" if under is None else f"below {under}",
    ]
    return "".join(f" {part}" for part in parts if part)


def _text(schema: dict[str, Any]) -> str:
    if schema.get("contentEncoding") == "base64":
        return "bytes as base64 text"
    text = _FORMATS.get(schema.get("format", ""), _KINDS["string"])
    low, high = schema.get("minLength"), schema.get("maxLength")
    if low is not None:
        text += f" of at least {_characters(low)}"
    if high is not None:
        text += f"{' and' if low is not None else ' of'} at most {_characters(high)}"
    if "pattern" in schema:
        text += f" that matches {cut(schema['pattern'], _SHOWN)}"
    return text


def _characters(count: int) -> str:
    return f"{count} character" if count == 1 else f"{count} characters"


_FORMATS: Final = {
    "date-time": 'a date and time as text, such as "2024-03-01T12:00:00"',
    "date": 'a date as text, such as "2024-03-01"',
}


def _list(schema: dict[str, Any]) -> str:
    low, high = schema.get("minItems"), schema.get("maxItems")
    parts = schema.get("prefixItems")
    count = f" of {low}" if low is not None and low == high else ""
    if parts is not None and not count:
        return f"a list of {len(parts)}: {_some([*map(wanted, parts[:_LISTED])], len(parts))}"
    if low is not None and not count:
        count = f" of at least {low}"
    if high is not None and low != high:
        count += f"{' and' if count else ' of'} at most {high}"
    items = schema.get("items")
    each = f", each {wanted(items)}" if isinstance(items, dict) and items else ""
    return f"a list{count}{each}"

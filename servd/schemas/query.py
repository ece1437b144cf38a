"""Query strings to inputs by a signature: `?age=33&city=Oslo` is `{"age": 33, "city": "Oslo"}`.

Texts become what a field's schema wants; what they cannot become is left to checking.py, which
says so in the field's own words.
"""

import json
import re
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from servd.schemas.checking import is_valid, kinds_of
from servd.schemas.compiled import Compiled
from servd.schemas.faults import Faults, Loc

_PLACE: Final = "query"
_MAX_PAIRS: Final = 4096
_LONGEST_NUMBER: Final = 400
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def read_query(reads: Compiled, query: str, others: frozenset[str], faults: Faults) -> bytes:
    """Return the row of a query string, as it came; what is wrong is added to `faults`.

    Of `others`, names that say something else, those that are no field are passed over.
    """
    pairs = pairs_of(query, faults)
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        if name in (reads.fields or {}) or name not in others:
            given.setdefault(name, []).append(text)
    schemas = reads.fields or {}
    value = {
        name: value_of(schemas.get(name, True), texts, (_PLACE, name), faults)
        for name, texts in given.items()
    }
    return b"" if faults else reads.check(value, (_PLACE,), faults)


def other_of(reads: Compiled, query: str, name: str) -> str | None:
    """Return what a query string says by a name that is no field; None where it says nothing."""
    if name in (reads.fields or {}):
        return None
    return next((text for key, text in reversed(pairs_of(query, Faults())) if key == name), None)


def pairs_of(query: str, faults: Faults) -> list[tuple[str, str]]:
    """Return the names and texts of a query string, unquoted; broken ones are faults."""
    parts = query.split("&", _MAX_PAIRS + 1) if query else []
    if len(parts) > _MAX_PAIRS:
        faults.add((_PLACE,), f"it has more than {_MAX_PAIRS} parts", "too_long")
        return []
    pairs = []
    for part in filter(None, parts):
        name, _, text = part.partition("=")
        try:
            pairs.append((_unquoted(name), _unquoted(text)))
        except UnicodeDecodeError:
            faults.add((_PLACE, name), "it is not UTF-8, percent-encoded", "encoding", text)
    return pairs


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1", "replace")).decode()


def value_of(schema: Any, texts: list[str], loc: Loc, faults: Faults) -> Any:
    """Return the value of a field that is given by texts: one, or those of a list's items."""
    if len(texts) == 1:
        return from_text(schema, texts[0])
    if isinstance(schema, dict) and "array" in kinds_of(schema):
        return [from_text(_item(schema, at), text) for at, text in enumerate(texts)]
    faults.add(loc, f"it is given {len(texts)} times, wanted once", "repeated", texts)
    return None


def from_text(schema: Any, text: str) -> Any:
    """Return the JSON value that a text stands for where a schema is wanted; else the text."""
    if not isinstance(schema, dict):
        return text
    if "anyOf" in schema and "type" not in schema:
        values = [from_text(way, text) for way in schema["anyOf"]]
        taken = [
            value
            for way, value in zip(schema["anyOf"], values, strict=True)
            if is_valid(way, value)
        ]
        return taken[0] if taken else text
    kinds = kinds_of(schema)
    if not kinds:
        choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
        return next((each for each in choices if text in (each, json.dumps(each))), text)
    # An empty text is a text, where any text is one.
    is_any_text = "string" in kinds and not schema.keys() & {"format", "enum", "const"}
    if "null" in kinds and text in _NULLS and not is_any_text:
        return None
    for kind in sorted(kinds, key=_ORDER.index):
        value = _FROM[kind](text)
        if value is not _NONE:
            if kind == "array" and not isinstance(value, list):
                value = [from_text(_item(schema, 0), text)]
            return value
    return text


def _item(schema: dict[str, Any], at: int) -> Any:
    first = schema.get("prefixItems", [])
    return first[at] if at < len(first) else schema.get("items", True)


_NONE: Final = object()
_NULLS: Final = ("", "null")
_ORDER: Final = ("boolean", "integer", "number", "string", "array", "object", "null")


def _from_number(text: str) -> Any:
    text = text.strip()
    if len(text) > _LONGEST_NUMBER:
        return _NONE
    if _WHOLE.fullmatch(text):
        return int(text)
    number = float(text) if _NUMBER.fullmatch(text) else None
    return _NONE if number is None or number in (float("inf"), float("-inf")) else number


def _from_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _NONE


def _from_json_or_item(text: str) -> Any:
    value = _from_json(text)
    return value if isinstance(value, list) else None


_FROM: Final[dict[str, Any]] = {
    "boolean": lambda text: _BOOLEANS.get(text.strip().lower(), _NONE),
    "integer": _from_number,
    "number": _from_number,
    "string": lambda text: text,
    "array": _from_json_or_item,
    "object": _from_json,
    "null": lambda text: None if text in _NULLS else _NONE,
}


def query_of(reads: Compiled, value: Any) -> str:
    """Return the query string that gives an input; empty where none does."""
    if not isinstance(value, dict):
        values = value if isinstance(value, list) and reads.value is None else [value]
        value = dict(zip(reads.names, values, strict=False))
    return "&".join(f"{quote(name)}={quote(_text(each))}" for name, each in value.items())


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)

"""The request bodies of Clipper's admin calls, with Clipper's wording of what is wrong with one.

Used by clipper.py. The reference is Clipper's REST as its clients see it: one text that says the
fault and then the shape that the call takes.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from servd.errors import ServdError
from servd.http.codecs.json_faults import read_strictly

_INPUT_TYPES: Final = '"integers" | "bytes" | "floats" | "doubles" | "strings"'
_INT32: Final = range(-(2**31), 2**31)


class ClipperJsonError(ServdError):
    """A body that a Clipper call does not take."""

    code = "malformed_body"
    status = 400

    def __init__(self, what: str, schema: str) -> None:
        super().__init__(f"Error parsing JSON: {what}. Expected JSON schema: {schema}")


@dataclass(frozen=True, slots=True)
class Body:
    """The keys of one call's body and their kinds: string, int, bool, [string] or input_type.

    `defaults` are the keys that may be missing; they are not in the printed schema.
    """

    kinds: dict[str, str]
    defaults: dict[str, Any]

    @property
    def schema(self) -> str:
        """The shape in Clipper's notation."""
        shown = [
            f'   "{key}" := {_INPUT_TYPES if kind == "input_type" else kind}'
            for key, kind in self.kinds.items()
            if key not in self.defaults
        ]
        return "\n  {\n" + ",\n".join(shown) + "\n  }\n"

    def parse(self, body: bytes) -> dict[str, Any]:
        """Return the values of the body's keys.

        Raises:
            ClipperJsonError: the first fault, in the order of the keys.
        """
        document = self._document(body)
        return {key: self._value(document, key, kind) for key, kind in self.kinds.items()}

    def _document(self, body: bytes) -> dict[str, Any]:
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ClipperJsonError(_parse_error(body, error), self.schema) from error
        if not isinstance(document, dict):
            raise ClipperJsonError("Can only get key-value pair from an object", self.schema)
        return document

    def _value(self, document: dict[str, Any], key: str, kind: str) -> Any:
        if key not in document:
            if key in self.defaults:
                return self.defaults[key]
            raise ClipperJsonError(f"JSON object does not have required key: {key}", self.schema)
        value = document[key]
        wanted = "array" if kind == "[string]" else kind.replace("input_type", "string")
        if not _is_of(value, wanted):
            # Clipper's text has no space before "but".
            what = (
                f"Type mismatch! JSON key {key} expected type {wanted}but found type {_name(value)}"
            )
            raise ClipperJsonError(what, self.schema)
        if wanted == "array":
            self._check_strings(value)
        return value

    def _check_strings(self, items: list[Any]) -> None:
        for item in items:
            if not isinstance(item, str):
                what = f"Array input of type {_name(item)} is not of type string"
                raise ClipperJsonError(what, self.schema)


def body(**kinds: str) -> Body:
    """Return the body with these keys, all of them required."""
    return Body({key: kind.replace("strings", "[string]") for key, kind in kinds.items()}, {})


def _is_of(value: Any, wanted: str) -> bool:
    if wanted == "int":
        return isinstance(value, int) and not isinstance(value, bool) and value in _INT32
    return isinstance(value, {"string": str, "bool": bool, "array": list}[wanted])


def _name(value: Any) -> str:
    """Return RapidJSON's name of a value's type."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def _parse_error(body: bytes, error: Exception) -> str:
    text = str(error)
    if not body.strip():
        return "JSON parse error: The document is empty. (offset 0)\n"
    if isinstance(error, UnicodeDecodeError):
        return read_strictly(body)[1] or text
    if isinstance(error, RecursionError):
        return "JSON parse error: The document is nested too deeply. (offset 0)\n"
    offset = text.rpartition("(byte ")[2].rstrip(")") if "(byte " in text else str(len(body))
    known = {
        "trailing characters": "The document root must not be followed by other values.",
        "invalid escape": "Invalid escape character in string.",
        "keys must be strings": "Missing a name for object member.",
    }
    what = next((said for sign, said in known.items() if sign in text), "Invalid value.")
    return f"JSON parse error: {what} (offset {offset})\n"

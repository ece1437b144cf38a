"""Why a body is refused, in Clipper's words and after them in ours. Used by clipper*.py.

Clipper's words (its REST as clients see it) stay, as far as they say something: what more is known
follows in parentheses.
"""

from typing import Any, Final

from servd.datatypes import InputType
from servd.http.bounds import Bounds
from servd.http.codecs.base import RequestError
from servd.http.codecs.json_faults import (
    EXPLAINED_BYTES,
    encoding_fault,
    read_strictly,
    said_of_long,
)
from servd.http.codecs.misnamed import hint_of
from servd.schemas.faults import found

SCHEMA = (
    "Expected JSON schema: \n  {\n   "
    '"input" := [double] | [int] | [string] | [byte] | [float],\n  }\n'
)

UPDATE_SCHEMA = (
    'Expected JSON schema: \n  {\n   "uid" := int,\n'
    '   "input" := [double] | [int] | [string] | [byte] | [float],\n   "label" := double\n  }\n'
)


_SHOWN: Final = 20
OPEN: Final = (InputType.ANY, InputType.ROWS)
"""Types that Clipper does not have: of them nothing is said in its words."""


def json_error(what: str, input_type: InputType | None = None) -> RequestError:
    """Return the refusal of a body that is not what the application takes."""
    if input_type in OPEN:
        example = f'{{"input": {_EXAMPLES[input_type]}}}'
        return RequestError(400, "Json error", f"{what.strip()}. Example: {example}")
    return RequestError(400, "Json error", f"Error parsing JSON: {what}. {SCHEMA}")


def no_object(value: Any, input_type: InputType) -> RequestError:
    """Return the refusal of a body that is JSON, but no object."""
    if input_type in OPEN:
        what = f'body: wanted an object with "input" or "input_batch", found {found(value)}'
        return json_error(what, input_type)
    cause = f"JSON schema invalid (the body is {_name(value)}. {_SEND})"
    return RequestError(400, "Json error", cause)


def no_input(keys: list[str], input_type: InputType) -> RequestError:
    """Say that there is no input, and what there is instead."""
    hint = hint_of(dict.fromkeys(keys), [])
    if input_type in OPEN:
        return json_error(f"input: {hint}", input_type)
    others = ", ".join(f'"{key[:_SHOWN]}"' for key in keys[:5] if key != "version")
    if not others:
        return json_error(_NO_INPUT)
    more = ", …" if len(keys) > 5 else ""
    what = f'no "input": the body has {others}{more}. {_SEND}: {hint.rpartition(": ")[2]}'
    return json_error(f"{what} ({_NO_INPUT})")


def no_batch(value: Any, input_type: InputType) -> RequestError:
    """Return the refusal of an input_batch that is no list."""
    if input_type in OPEN:
        return json_error(f"input_batch: wanted a list of inputs, found {found(value)}", input_type)
    return json_error(_no_list("input_batch", value, input_type))


def no_such_input(value: Any, input_type: InputType) -> RequestError:
    """Return the refusal of an input that is of another type than the application's."""
    return json_error(_no_list("input", value, input_type))


def _no_list(key: str, value: Any, input_type: InputType) -> str:
    is_list = bool(input_type.item_bytes) or key == "input_batch"
    # Clipper's text has no space before "but".
    wanted = "Array" if is_list else "String"
    one = _EXAMPLES[input_type]
    example = f'{{"input": {one}}}' if key == "input" else f'{{"input_batch": [{one}, …]}}'
    return (
        f"Type mismatch! JSON key {key} expected type {wanted}but found type {_name(value)} "
        f"(this application takes {input_type}: {example})"
    )


def too_many_rows(bounds: Bounds) -> RequestError:
    """Return the refusal of an input_batch of too many inputs."""
    return RequestError(
        413,
        "Bad request",
        f"the input_batch has more than {bounds.max_rows} inputs: "
        "send several requests, or raise the server's --max-rows",
    )


_NO_INPUT = "JSON object does not have required keys input or input_batch"
_SEND = 'Send {"input": …} or {"input_batch": [ … ]}'


KIND = {
    InputType.DOUBLES: "double",
    InputType.FLOATS: "float",
    InputType.INTEGERS: "int",
    InputType.STRINGS: "string",
    InputType.BYTES: "base64-encoded string",
    InputType.ANY: "any",
    InputType.ROWS: "object",
}


_EXAMPLES = {
    InputType.DOUBLES: "[1.5, 2]",
    InputType.FLOATS: "[1.5, 2]",
    InputType.INTEGERS: "[1, 2]",
    InputType.STRINGS: '"text"',
    InputType.BYTES: '"aGVsbG8="',
    InputType.ANY: '{"age": 31}',
    InputType.ROWS: '{"age": 31}',
}


def explain(body: bytes, input_type: InputType, detail: str) -> RequestError:
    """Return the error in Clipper's words for a body that the typed decoder refused."""
    if len(body) > EXPLAINED_BYTES:
        said = encoding_fault(body) or said_of_long(memoryview(body), detail)
        return json_error(said, input_type)
    value, fault = read_strictly(body)
    if fault is not None:
        if input_type.item_bytes:
            fault = fault.replace("send null", f"send null (not as one of {input_type})")
        return json_error(fault, input_type)
    if not isinstance(value, dict):
        return no_object(value, input_type)
    return _of_members(value, input_type, detail)


def _of_members(value: dict[str, Any], input_type: InputType, detail: str) -> RequestError:
    version: Any = value.get("version")
    if isinstance(version, bool) or not isinstance(version, str | int | None):
        return _wrong_version(version, input_type)
    if input_type not in OPEN:
        return json_error(_mismatch(value, input_type, detail))
    if "input" not in value and not isinstance(value.get("input_batch", []), list):
        return no_batch(value["input_batch"], input_type)
    return json_error(f"the body cannot be read: {detail}", input_type)


def _wrong_version(version: Any, input_type: InputType) -> RequestError:
    if input_type in OPEN:
        return json_error(f"version: wanted a text, found {found(version)}", input_type)
    return json_error(
        f"Type mismatch! JSON key version expected type stringbut found type {_name(version)} "
        f"(version: wanted a text, found {found(version)})"
    )


def _mismatch(value: dict[str, Any], input_type: InputType, detail: str) -> str:
    """Say which value of a body is of the wrong type; `detail` where the type is right."""
    key = "input" if "input" in value else "input_batch"
    wanted = list if input_type.item_bytes or key == "input_batch" else str
    given = value.get(key)
    if not isinstance(given, wanted):
        return _no_list(key, given, input_type)
    wrong = _wrong_item(given, input_type, key, is_batch=key == "input_batch")
    if wrong is None:
        return f"{key}: {detail}"
    place, item = wrong
    one = _EXAMPLES[input_type]
    return (
        f"Array input of type {_name(item)} is not of type {KIND[input_type]} "
        f"({place}: found {found(item)}; this application takes {input_type}, such as {one})"
    )


def _wrong_item(
    value: Any, input_type: InputType, place: str, *, is_batch: bool
) -> tuple[str, Any] | None:
    """Return the first item that is of the wrong type, and its place; None if none is."""
    if not isinstance(value, list):
        return None
    is_row = is_batch and input_type.item_bytes > 0
    items = enumerate(value)
    wrong = (_wrong(item, input_type, f"{place}[{at}]", is_row=is_row) for at, item in items)
    return next((each for each in wrong if each is not None), None)


def _wrong(item: Any, input_type: InputType, place: str, *, is_row: bool) -> tuple[str, Any] | None:
    """Return an item, or what is in it, and its place, where it is not of the wanted type."""
    if is_row and isinstance(item, list):
        return _wrong_item(item, input_type, place, is_batch=False)
    # 1.0 is no whole number, as in Clipper.
    is_broken = input_type is InputType.INTEGERS and isinstance(item, float)
    is_right = _name(item) == ("Number" if input_type.item_bytes else "String")
    return None if is_right and not is_row and not is_broken else (place, item)


def _name(value: Any) -> str:
    """Return the name of a JSON type as Clipper's messages have it."""
    if isinstance(value, bool):
        return "True" if value else "False"
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")

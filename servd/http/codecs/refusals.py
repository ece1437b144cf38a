"""Why a body is refused, in Clipper's words and after them in ours. Used by clipper*.py.

Clipper's words (its REST as clients see it) stay, as far as they say something: what more is known
follows in parentheses.
"""

from typing import Any

import msgspec

from servd.datatypes import InputType
from servd.http.bounds import Bounds
from servd.http.codecs.base import RequestError
from servd.http.codecs.json_faults import (
    EXPLAINED_BYTES,
    encoding_fault,
    read_strictly,
    said_of_long,
)

SCHEMA = (
    "Expected JSON schema: \n  {\n   "
    '"input" := [double] | [int] | [string] | [byte] | [float],\n  }\n'
)

UPDATE_SCHEMA = (
    'Expected JSON schema: \n  {\n   "uid" := int,\n'
    '   "input" := [double] | [int] | [string] | [byte] | [float],\n   "label" := double\n  }\n'
)


def json_error(what: str) -> RequestError:
    """Return the refusal of a body that is not what the application takes."""
    return RequestError(400, "Json error", f"Error parsing JSON: {what}. {SCHEMA}")


def no_object(found: str) -> RequestError:
    """Return the refusal of a body that is JSON, but no object: of the JSON type `found`."""
    return RequestError(400, "Json error", f"JSON schema invalid (the body is {found}. {_SEND})")


def no_input(body: bytes) -> RequestError:
    """Say that there is no input, and what there is instead."""
    keys = list(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    others = ", ".join(f'"{key[:40]}"' for key in keys[:5] if key != "version")
    if not others:
        return json_error(_NO_INPUT)
    more = ", …" if len(keys) > 5 else ""
    return json_error(f'no "input": the body has {others}{more}. {_SEND} ({_NO_INPUT})')


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
        return json_error(encoding_fault(body) or said_of_long(memoryview(body), detail))
    value, fault = read_strictly(body)
    if fault is not None:
        if input_type.item_bytes:
            fault = fault.replace("send null", f"send null (not as one of {input_type})")
        return json_error(fault)
    if not isinstance(value, dict):
        return no_object(_name(value))
    return json_error(_mismatch(value, input_type, detail))


def _mismatch(value: dict[str, Any], input_type: InputType, detail: str) -> str:
    """Say which value of a body is of the wrong type; `detail` where the type is right."""
    version = value.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, str | int)):
        return (
            f"Type mismatch! JSON key version expected type stringbut found type {_name(version)}"
        )
    key = "input" if "input" in value else "input_batch"
    wanted = "Array" if input_type.item_bytes or key == "input_batch" else "String"
    found = _name(value.get(key))
    if found != wanted and not (key == "input" and input_type is InputType.ANY):
        # Clipper's text has no space before "but".
        what = f"Type mismatch! JSON key {key} expected type {wanted}but found type {found}"
        one = _EXAMPLES[input_type]
        example = f'{{"input": {one}}}' if key == "input" else f'{{"input_batch": [{one}, …]}}'
        return f"{what} (this application takes {input_type}: {example})"
    wrong = None
    if input_type is not InputType.ANY:
        wrong = _wrong_item(value[key], input_type, is_batch=key == "input_batch")
    if wrong is None:
        return f"{key}: {detail}"
    return f"Array input of type {wrong} is not of type {KIND[input_type]}"


def _wrong_item(value: Any, input_type: InputType, *, is_batch: bool) -> str | None:
    """Return the JSON type of the first item that is of the wrong one, None if none is."""
    if not isinstance(value, list):
        return None
    is_row = is_batch and input_type.item_bytes > 0
    wrong = (_wrong_type(item, input_type, is_row=is_row) for item in value)
    return next((name for name in wrong if name is not None), None)


def _wrong_type(item: Any, input_type: InputType, *, is_row: bool) -> str | None:
    """Return the JSON type of an item, None where it is the one that is wanted."""
    if is_row and isinstance(item, list):
        return _wrong_item(item, input_type, is_batch=False)
    # 1.0 is no whole number, as in Clipper.
    is_broken = input_type is InputType.INTEGERS and isinstance(item, float)
    is_right = _name(item) == ("Number" if input_type.item_bytes else "String")
    return None if is_right and not is_row and not is_broken else _name(item)


def _name(value: Any) -> str:
    """Return the name of a JSON type as Clipper's messages have it."""
    if isinstance(value, bool):
        return "True" if value else "False"
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")

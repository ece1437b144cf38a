"""Where a request has its message: in the body, a form, its query string. Used by seldon.py."""

import base64
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

import msgspec

from servd.http.codecs.base import BesideError, Head, RequestError
from servd.http.codecs.forms import Form
from servd.http.codecs.media import Kind, content_type, kind_of

ReadBody = Callable[[bytes], bytes]
"""A body to the JSON text of its message."""

_URLENCODED: Final = "application/x-www-form-urlencoded"
_FIELDS: Final = ("data", "jsonData", "strData", "binData", "meta")
PARTS: Final = frozenset(_FIELDS)
"""The parts of a form that is a message."""

_NAMED: Final = re.compile(rb'\bname="?(?:strData|jsonData|binData|data(?!"?; *filename))"?[;\r\s]')
"""A part that a message has; its `data` is no file."""
_FIRST_KEY: Final = re.compile(
    rb'\s*\{\s*"(?:data|strData|binData|jsonData|meta|tftensor|customData)"'
)
_OTHERS_KEY: Final = re.compile(rb'\s*\{\s*"(?:input|input_batch|version)"')
_EXAMPLE: Final = '{"data": {"ndarray": [[1.5, 2]]}}'


def refused(cause: str) -> RequestError:
    """Return the refusal of a message that cannot be read."""
    return RequestError(400, "MICROSERVICE_BAD_DATA", cause)


def reader(head: Head) -> ReadBody:
    """Return how the message is found in requests with a head like this."""
    if _in_query(head.query):
        text = parse_qs(head.query)["json"][0].encode()
        return lambda _body: text
    if kind_of(head) is Kind.FORM:
        kind = content_type(head)
        return lambda body: _of_parts(body, kind)
    is_form = content_type(head).partition(";")[0].strip().lower() == _URLENCODED
    return _of_form if is_form else _of_body


def is_message(head: Head, begin: bytes) -> bool:
    """Tell whether a request is a message of Seldon's, by how its body begins and by its head."""
    if begin.startswith(b'{"input') or head.method == "HEAD":
        return False
    if _FIRST_KEY.match(begin) or begin.startswith(b"json="):
        return True
    if not begin and _in_query(head.query):
        return True
    return kind_of(head) is Kind.FORM and _NAMED.search(begin) is not None


def is_others(begin: bytes) -> bool:
    """Tell whether a body is one of Clipper's, which its first key says."""
    return _OTHERS_KEY.match(begin) is not None


def _in_query(query: str) -> bool:
    return query.startswith("json=") or "&json=" in query


def _of_body(body: bytes) -> bytes:
    if not body.strip():
        raise refused(f"there is no message: send a JSON object such as {_EXAMPLE}")
    return body


def _of_form(body: bytes) -> bytes:
    """Return the field `json` of a form, or the body where it is JSON: as curl sends it."""
    if body.lstrip()[:1] in (b"{", b"["):
        return body
    try:
        found = parse_qs(body.decode(), max_num_fields=100).get("json")
    except ValueError as error:
        raise refused(f"the form cannot be read: {error}") from None
    if not found:
        raise refused(f'the form has no field "json": send json={_EXAMPLE}')
    return found[0].encode()


def _of_parts(body: bytes, kind: str) -> bytes:
    """Return the message that the parts of a form are: `binData` a file, `strData` one or a text.

    Raises:
        RequestError: they are none.
    """
    found: dict[str, object] = {}
    try:
        form = Form(memoryview(body), kind)
        for part in form:
            content = b"".join(form.pieces())
            if part.name not in _FIELDS:
                said = ", ".join(_FIELDS)
                raise refused(f'the form has a part "{part.name[:40]}": parts are {said}')
            if part.name in found:
                raise refused(f'the form has the part "{part.name}" twice')
            found[part.name] = _of_part(part.name, content, is_file=part.is_file)
    except BesideError:
        raise refused("the form has too many parts") from None
    except UnicodeDecodeError as error:
        raise refused(f"a part of the form is not UTF-8: {error}") from None
    return msgspec.json.encode(found)


def _of_part(name: str, content: bytes, *, is_file: bool) -> object:
    if name == "binData" and is_file:
        return base64.b64encode(content).decode()
    if name == "strData":
        return content.decode()
    if name == "binData":
        return content.decode().strip().strip('"')
    try:
        msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise refused(f'the part "{name}" of the form is not JSON: {error}') from None
    return msgspec.Raw(content)

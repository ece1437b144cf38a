"""Named parts of a form to an input by a signature: texts as in a query string, files as bytes.

A file is not made JSON of with the other fields, which would copy it several times: something else
stands for it there, and the row comes in pieces, with the file's base64 text instead.
"""

import base64
import re
import secrets
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from servd.schemas.compiled import Compiled
from servd.schemas.faults import Faults, Loc
from servd.schemas.query import value_of

_STAND_IN: Final = secrets.token_bytes(21)
"""What nobody sends; so long that its base64 text has no padding when a number follows it."""

_NUMBER_BYTES: Final = 3
_STANDS: Final = re.compile(
    b'"%b([A-Za-z0-9+/]{4})"' % re.escape(base64.b64encode(_STAND_IN)),
)
_ENCODED_BYTES: Final = 3 << 16
_OF_BYTES: Final = frozenset({"type", "contentEncoding", "contentMediaType"})
_SAYS_NOTHING: Final = frozenset({"title", "description", "default", "examples"})


class Given(NamedTuple):
    """A part of a form: what is in it, and how that is a text where it is to be one."""

    content: bytes | bytearray
    is_file: bool = False
    charset: str = "utf-8"


def read_parts(
    reads: Compiled, given: dict[str, list[Given]], place: str, faults: Faults
) -> Iterator[bytes]:
    """Return the row of an input that is given by parts, in pieces.

    What is wrong is added to `faults`; the pieces are of no use then.
    """
    schemas = reads.signature.fields or {}
    files: list[bytes | bytearray] = []
    value: dict[str, Any] = {}
    for name, parts in given.items():
        loc, schema = (place, name), schemas.get(name, False)
        if name not in schemas:
            value[name] = _shown(parts[0])
        elif is_of_bytes(schema):
            value[name] = _text_of_file(schema, parts, files, loc, faults)
        else:
            texts = [_decoded(part, loc, faults) for part in parts]
            value[name] = value_of(schema, texts, loc, faults)
    row = b"" if faults else reads.check(value, (place,), faults)
    return iter(()) if faults else _with_files(row, files)


def is_of_bytes(schema: Any) -> bool:
    """Return whether a field is bytes, as base64 text, or nothing."""
    if not isinstance(schema, dict):
        return False
    return schema.get("contentEncoding") == "base64" or any(
        map(is_of_bytes, schema.get("anyOf", ()))
    )


def _text_of_file(
    schema: Any, parts: list[Given], files: list[bytes | bytearray], loc: Loc, faults: Faults
) -> str:
    """Return the base64 text of a file, or what stands for it where its length says nothing."""
    content = parts[0].content
    if len(parts) > 1:
        faults.add(loc, f"it is given {len(parts)} times, wanted once", "repeated")
    elif not content and parts[0].is_file:
        faults.add(loc, "the file is empty", "too_short")
    if schema.keys() - _OF_BYTES - _SAYS_NOTHING:
        return base64.b64encode(content).decode()
    files.append(content)
    number = (len(files) - 1).to_bytes(_NUMBER_BYTES, "big")
    return base64.b64encode(_STAND_IN + number).decode()


def _with_files(row: bytes, files: list[bytes | bytearray]) -> Iterator[bytes]:
    at = 0
    for stands in _STANDS.finditer(row):
        yield row[at : stands.start() + 1]
        content = memoryview(files[int.from_bytes(base64.b64decode(stands[1]), "big")])
        for begin in range(0, len(content), _ENCODED_BYTES):
            yield base64.b64encode(content[begin : begin + _ENCODED_BYTES])
        at = stands.end() - 1
    yield row[at:]


def _decoded(part: Given, loc: Loc, faults: Faults) -> str:
    try:
        return part.content.decode(part.charset)
    except UnicodeDecodeError as error:
        what = "a file that is no text" if part.is_file else f"not {part.charset}: {error.reason}"
        faults.add(loc, f"wanted a text, found {what}", "encoding")
        return ""


def _shown(part: Given) -> str:
    return f"a file of {len(part.content)} bytes" if part.is_file else _text(part.content[:200])


def _text(content: bytes | bytearray) -> str:
    return content.decode(errors="replace")

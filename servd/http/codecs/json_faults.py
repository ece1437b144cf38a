"""What is wrong with a body as JSON, and where. Used by codecs/clipper.py and codecs/refusals.py.

The parsers that read queries say that a body is wrong; some of them say where, none of them why.
This is a second look by a parser that is as strict as they are: it takes neither NaN nor lone
surrogates nor other encodings, so that what it says is the reason for which the body was refused.
"""

import json
import math
import re
from typing import Any, Final, NoReturn

_MALFORMED: Final = "JSON parse error:"

EXPLAINED_BYTES: Final = 32 * 1024
"""A longer body is not looked at again: saying why costs many times more than reading."""

_AS_FILE: Final = (
    "send it to an application of input type bytes with its own Content-Type "
    '(such as application/octet-stream), or as base64 in {"input": "…"}'
)
_NOT_JSON: Final = "the body is not JSON but"
_KINDS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = tuple(
    (re.compile(begin), text)
    for begin, text in (
        (rb"\xff\xd8\xff", f"{_NOT_JSON} a JPEG: {_AS_FILE}"),
        (rb"\x89PNG", f"{_NOT_JSON} a PNG: {_AS_FILE}"),
        (rb"GIF8", f"{_NOT_JSON} a GIF: {_AS_FILE}"),
        (rb"%PDF", f"{_NOT_JSON} a PDF: {_AS_FILE}"),
        (rb"RIFF", f"{_NOT_JSON} a WebP, WAV or AVI file: {_AS_FILE}"),
        (rb"PK\x03\x04", f"{_NOT_JSON} a zip archive (or npz, xlsx, docx): {_AS_FILE}"),
        (rb"\x93NUMPY", f"{_NOT_JSON} a numpy file: send its numbers as JSON"),
        (rb"PAR1", f"{_NOT_JSON} a Parquet file: send its rows as JSON"),
        (rb"\x80[\x02-\x05]", f"{_NOT_JSON} a pickle: send JSON"),
        (rb"\x1f\x8b", f"{_NOT_JSON} gzip: send Content-Encoding: gzip with it"),
        (
            rb"\xff\xfe\0\0|\0\0\xfe\xff|[\t-~]\0\0\0|\0\0\0[\t-~]",
            "the body is not UTF-8 but UTF-32: encode it as UTF-8",
        ),
        (
            rb"\xff\xfe|\xfe\xff|(?:[\t-~]\0){2}|(?:\0[\t-~]){2}",
            "the body is not UTF-8 but UTF-16: encode it as UTF-8",
        ),
        (rb"\xef\xbb\xbf", "the body begins with a byte order mark: leave it out"),
        (rb"(?s)--.{0,400}ontent-", f"{_NOT_JSON} a form (multipart): send the JSON itself"),
        (rb"\s*<", f"{_NOT_JSON} XML or HTML: send JSON"),
        (rb"[\w.%+-]+=[^\s]*\Z", f"{_NOT_JSON} a form (key=value): send JSON"),
        (rb"\s*\Z", 'The document is empty. Put JSON into the body: {"input": …}'),
    )
)
"""What a body is instead of JSON, by its beginning, and what to do."""

_PYTHON_FAULTS: Final = {
    "Expecting value": "a value is missing or is none",
    "Expecting property name enclosed in double quotes": "a key in double quotes is missing",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Unterminated string starting at": "a text begins here and does not end",
    "Invalid control character at": "a control character in a text, which must be escaped",
    "Invalid \\escape": "an escape that JSON does not have",
    "Invalid \\uXXXX escape": "an escape of four hexadecimal digits that is none",
    "Extra data": "more follows the end of the document",
}

_SEND_NULL: Final = "which JSON does not have: send null"
_BYTES_CONSTANT: Final = re.compile(rb"NaN|-?Infinity")
_CONSTANT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_LONE_SURROGATE: Final = re.compile(
    r"(?<!\\)(?:\\\\)*"
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_BROKEN_NUMBER: Final = re.compile(r"\d[\d.eE]")
_HUGE_NUMBER: Final = re.compile(r"\d[eE]\+?\d{3}|\d{300}")
_NUMBER: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')


class _ConstantError(ValueError):
    """The body holds a word that Python writes for a number and that JSON does not have."""


def _refuse_constant(word: str) -> NoReturn:
    raise _ConstantError(word)


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode


def read_strictly(body: bytes) -> tuple[Any, str | None]:
    """Return what a body holds, and None; or None and what is wrong with it.

    Numbers of any size are taken where they are whole, as Python takes them.
    """
    fault = encoding_fault(body)
    if fault is not None:
        return None, fault
    text = body.decode()
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        return None, _kind_of(body) or _syntax_fault(text, error)
    except _ConstantError as error:
        return None, _constant_fault(text, str(error))
    except RecursionError:
        return None, f"{_MALFORMED} it is nested too deeply (offset 0)\n"
    except ValueError:  # Python's limit on the digits of a whole number
        return None, f"{_MALFORMED} a number has more than 4300 digits (offset 0)\n"
    fault = _surrogate_fault(text) or _number_fault(text)
    return (value, None) if fault is None else (None, fault)


def encoding_fault(body: bytes) -> str | None:
    """Return what is wrong with a body as UTF-8; None where nothing is. Takes little."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return _kind_of(body) or _not_utf8(body, error)
    return None


def _kind_of(body: bytes) -> str | None:
    """Return what a body is instead of JSON, where its beginning tells."""
    kind = next((text for begin, text in _KINDS if begin.match(body)), None)
    return kind and f"{_MALFORMED} {kind} (offset 0)\n"


def _not_utf8(body: bytes, error: UnicodeDecodeError) -> str:
    found = body[error.start]
    return (
        f"{_MALFORMED} the body is not UTF-8: byte 0x{found:02x}, {error.reason}: "
        f"encode it as UTF-8 (offset {error.start})\n"
    )


def _syntax_fault(text: str, error: json.JSONDecodeError) -> str:
    fault = _PYTHON_FAULTS.get(error.msg, error.msg)
    found = text[error.pos : error.pos + 1]
    if error.pos and _BROKEN_NUMBER.match(text, error.pos - 1):
        fault = "a number that JSON does not have (such as 01 or 1.)"
    if found == "'":
        fault += "; texts and keys are in double quotes, not in single ones"
    elif found and not (found.isprintable() or found.isspace()):
        fault += f"; found U+{ord(found):04X} there"
    return _at(fault, text, error.pos)


def _at(fault: str, text: str, position: int) -> str:
    """Return the fault with its place, in bytes, and by line where there are several."""
    before = text[:position]
    line = before.count("\n") + 1
    by_line = (
        f", line {line}, column {position - before.rfind(chr(10))}" if "\n" in text.strip() else ""
    )
    return f"{_MALFORMED} {fault} (offset {len(before.encode())}{by_line})\n"


def _constant_fault(text: str, word: str) -> str:
    """Return the fault of NaN or an infinity outside of texts."""
    found = next((m for m in _CONSTANT.finditer(text) if not m[0].startswith('"')), None)
    position = found.start() if found else 0
    holder = "input" if '"input' in text[:position] else "the body"
    return _at(f"{holder} holds {word}, {_SEND_NULL}", text, position)


def said_of_long(body: memoryview, detail: str) -> str:
    """Return what a parser says of a body that is too long to be read again; NaN is named.

    `detail` is msgspec's text, which has the place of what is no JSON.
    """
    if "recursion" in detail:
        return f"{_MALFORMED} it is nested too deeply\n"
    place = re.search(r"\(byte (\d+)\)", detail)
    if place is not None:
        offset = max(int(place[1]) - 1, 0)
        found = _BYTES_CONSTANT.search(bytes(body[offset : offset + 10]))
        if found is not None and found.start() < 2:
            word = found[0].decode()
            return (
                f"{_MALFORMED} input holds {word}, {_SEND_NULL} (offset {offset + found.start()})\n"
            )
    return detail


def _surrogate_fault(text: str) -> str | None:
    found = _LONE_SURROGATE.search(text)
    if found is None:
        return None
    fault = f"the escape {found[1]} is half of a surrogate pair, which is no character"
    return _at(fault, text, found.start(1))


def _number_fault(text: str) -> str | None:
    """Return the fault of a number that would be read as an infinity."""
    if _HUGE_NUMBER.search(text) is None:
        return None
    for found in _NUMBER.finditer(text):
        token = found[0]
        is_number = token[0] != '"' and not token.lstrip("-").isdigit()
        if is_number and math.isinf(float(token)):
            shown = token if len(token) < 30 else f"{token[:20]}…"
            return _at(f"the number {shown} is beyond the range of a double", text, found.start())
    return None

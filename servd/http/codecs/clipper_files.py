"""Files as bodies: as they are, or as parts of a form. Used by clipper.py.

An application of bytes takes a body of any Content-Type but JSON's for the input itself, unless
it is an object with `input` or `input_batch`; of a form each file is an input. Inputs with names
are given by the parts of a form that have these names.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Final

import msgspec

from servd.datatypes import Inputs, InputType
from servd.http.bounds import LONG_BODY_BYTES, Bounds
from servd.http.codecs.base import (
    SHOWN_NAME,
    Asked,
    BesideError,
    Decode,
    Head,
    Read,
    RequestError,
    Rows,
    Wanted,
)
from servd.http.codecs.clipper_signed import example_of, refusal
from servd.http.codecs.forms import MAX_OTHERS, Form, Part, refused
from servd.http.codecs.media import Kind, content_type, kind_of
from servd.http.codecs.refusals import too_many_rows
from servd.schemas.compiled import compiled
from servd.schemas.faults import Faults, cut
from servd.schemas.parts import Given, is_of_bytes, read_parts
from servd.schemas.query import pairs_of

_VERSION: Final = "version"
_LONGEST_VERSION: Final = 1000
_OBJECT: Final = re.compile(rb"[ \t\r\n]*(?:\{|\Z)")
_PLACE: Final = "form"


class _Request(msgspec.Struct):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_batch: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_request: Final = msgspec.json.Decoder(_Request).decode


def file_decoder(inputs: Inputs, head: Head, as_json: Callable[[], Decode]) -> Decode:
    """Return how bodies become rows whose Content-Type says something else than JSON.

    Those that are JSON all the same are for what `as_json` makes; a form has a decoder of its own
    each time, which seldom needs that.
    """
    version, decode_json = _version_of(head), cache(as_json)

    def decode_raw(body: bytes) -> bytes | Asked:
        if not is_raw(inputs, version, body):
            return decode_json()(body)
        return body if version is None else Asked(body, version)

    def decode_form(body: bytes) -> bytes | Asked:
        if not is_form(inputs, head, body):
            return decode_json()(body)
        rows = _Rows()
        read = read_form(memoryview(body), inputs, head, rows)
        found = rows.found if read.is_batch else rows.found[0]
        if isinstance(found, bytes) and read.version is None:
            return found
        return Asked(found, read.version)

    if kind_of(head) is Kind.FORM:
        return decode_form
    return decode_raw if _takes_bytes(inputs, version) else as_json()


class _Rows:
    """Takes rows as bytes."""

    def __init__(self) -> None:
        self.found: list[bytes] = []
        self._pieces: list[bytes | memoryview] = []

    def write(self, piece: bytes | memoryview) -> None:
        """Add to the present row."""
        self._pieces.append(piece)

    def end_row(self) -> None:
        """Begin the next row."""
        self.found.append(b"".join(self._pieces))
        self._pieces = []


# --- bodies that are the input ---


def as_it_is(inputs: Inputs, head: Head, begin: bytes) -> Read | None:
    """Return what a long body asks for that is its own row; None where it has to be read.

    `begin` is how it begins: what may be a JSON object is read.
    """
    if kind_of(head) is not Kind.OTHER or _OBJECT.match(begin):
        return None
    version = _version_of(head)
    return Read(False, version) if _takes_bytes(inputs, version) else None


def is_scanned(inputs: Inputs, head: Head, begin: bytes) -> bool:
    """Return whether a long body that begins so is a form, and no JSON under the type of one."""
    is_open = kind_of(head) is Kind.FORM and not _OBJECT.match(begin)
    return is_open and is_form(inputs, head, begin)


def is_raw(inputs: Inputs, version: str | None, body: bytes | memoryview) -> bool:
    """Return whether a body, whose Content-Type is neither JSON's nor a form's, is the input.

    Raises:
        RequestError: it would be, and is empty.
    """
    if not _takes_bytes(inputs, version) or is_request(body):
        return False
    if not body:
        cause = (
            "the body is empty: send the file's bytes "
            '(curl --data-binary @FILE); an input of 0 bytes is {"input": ""} as JSON'
        )
        raise RequestError(400, "Bad request", cause)
    return True


def is_request(body: bytes | memoryview) -> bool:
    """Return whether a body is a JSON object that has inputs."""
    if _OBJECT.match(body) is None or not body:
        return False
    try:
        request = _request(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return request.input is not msgspec.UNSET or request.input_batch is not msgspec.UNSET


def _takes_bytes(inputs: Inputs, version: str | None) -> bool:
    signature = inputs.of(version)
    kind = inputs.input_type if signature is None else signature.input_type
    return kind == InputType.BYTES


def _version_of(head: Head) -> str | None:
    """Return the version that a query string names."""
    if _VERSION not in head.query:
        return None
    pairs = pairs_of(head.query, Faults())
    return next((text for name, text in reversed(pairs) if name == _VERSION), None) or None


def read_file(body: memoryview, wanted: Wanted, rows: Rows) -> Read | None:
    """Write the rows of a long body that is a file, or a form of them; None where it is JSON.

    Raises:
        RequestError: it is not what is taken.
    """
    inputs, head = wanted.inputs, wanted.head
    if kind_of(head) is Kind.FORM:
        is_read = is_form(inputs, head, body)
        return read_form(body, inputs, head, rows, wanted.bounds) if is_read else None
    version = _version_of(head)
    if not is_raw(inputs, version, body):
        return None
    rows.write(body)
    rows.end_row()
    return Read(False, version)


# --- forms ---


def is_form(inputs: Inputs, head: Head, body: bytes | memoryview) -> bool:
    """Return whether a body whose Content-Type is that of a form is read as one."""
    version = _version_of(head)
    signature = inputs.of(version)
    has_names = signature is not None and bool(signature.fields)
    return (has_names or _takes_bytes(inputs, version)) and not is_request(body)


def read_form(
    body: memoryview, inputs: Inputs, head: Head, rows: Rows, bounds: Bounds | None = None
) -> Read:
    """Write the rows of a form within bounds, or of one that is read at once.

    Raises:
        RequestError: it is none, or not what is taken.
        BesideError: it is too much work to be read at once.
    """
    version = _version_of(head)
    most = None if bounds is None else bounds.max_rows + MAX_OTHERS
    form = Form(body, content_type(head), most)
    if _takes_bytes(inputs, version):
        return _write_files(form, inputs, version, rows, bounds)
    signature = inputs.of(version)
    fields = {} if signature is None else signature.fields or {}
    given: dict[str, list[Given]] = {}
    texts = 0
    for part in form:
        content = bytearray()
        for piece in form.pieces():
            content += piece
        texts += 0 if part.is_file and is_of_bytes(fields.get(part.name)) else len(content)
        if bounds is None and texts > LONG_BODY_BYTES:
            raise BesideError
        given.setdefault(part.name, []).append(Given(content, part.is_file, part.charset))
    return _write_named(given, inputs, version, rows)


def _write_files(
    form: Form, inputs: Inputs, version: str | None, rows: Rows, bounds: Bounds | None
) -> Read:
    """Write the files of a form, each an input of bytes: one is one input, several are a batch."""
    signature = inputs.of(version)
    names = {"input", "file", *((signature and signature.fields) or ())}
    count = 0
    for part in form:
        if not part.is_file and part.name == _VERSION:
            version = _text_of(form) or None
        elif part.is_file or part.name in names:
            count += 1
            if bounds is not None and count > bounds.max_rows:
                raise too_many_rows(bounds)
            _write_file(part, form, rows)
        else:
            what = "there is no such field: the application takes files, and nothing beside them"
            raise _refused(what, "extra_forbidden", part.name)
    if not count:
        raise _refused("wanted a file, found none", "missing")
    if not _takes_bytes(inputs, version):
        raise refused(f"version {cut(version or '', SHOWN_NAME)} does not take files as inputs")
    return Read(count > 1, version)


def _write_file(part: Part, form: Form, rows: Rows) -> None:
    size = 0
    for piece in form.pieces():
        rows.write(piece)
        size += len(piece)
    if not size:
        name = f" {part.filename[:60]}" if part.filename else ""
        raise _refused(f"the file{name} is empty", "too_short", part.name)
    rows.end_row()


def _text_of(form: Form) -> str:
    """Return what is in a part that names a version."""
    text = bytearray()
    for piece in form.pieces():
        text += piece
        if len(text) > _LONGEST_VERSION:
            raise _refused("no version has so long a name", "too_long", _VERSION)
    return text.decode(errors="replace").strip()


def _write_named(
    given: dict[str, list[Given]], inputs: Inputs, version: str | None, rows: Rows
) -> Read:
    """Write the one input whose fields the parts are."""
    signature = inputs.of(version)
    if _VERSION in given and _VERSION not in ((signature and signature.fields) or ()):
        text = given.pop(_VERSION)[-1].content[:_LONGEST_VERSION]
        version = text.decode(errors="replace").strip() or version
        signature = inputs.of(version)
    if signature is None or not signature.fields:
        raise refused(
            f"version {cut(version or '', SHOWN_NAME)} takes inputs without names: send it JSON"
        )
    reads, faults = compiled(signature), Faults()
    pieces = read_parts(reads, given, _PLACE, faults)
    if faults:
        raise refusal(faults, example_of(reads.example))
    for piece in pieces:
        rows.write(piece)
    rows.end_row()
    return Read(False, version)


def _refused(what: str, kind: str, name: str = "") -> RequestError:
    faults = Faults()
    faults.add((_PLACE, name) if name else (_PLACE,), what, kind)
    return refusal(faults, lambda _: " Example: curl -F file=@FILE")

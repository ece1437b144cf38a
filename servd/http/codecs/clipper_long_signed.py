"""Long bodies in Clipper's query format to rows by a signature. Used by clipper.py.

Takes what clipper_signed.py takes, and says the same of what is wrong; one input at a time, so
that no more than one is objects of Python at once. Columns are all read together: `max_rows` and
`max_values` bound them.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from servd.datatypes import Inputs, InputType
from servd.http.bounds import Bounds
from servd.http.codecs.base import Read, RequestError, Rows
from servd.http.codecs.clipper_long import (
    check_count,
    check_utf8,
    check_values,
    first_key,
    read,
    version_named,
)
from servd.http.codecs.clipper_signed import example_of, has_say, read_again, refusal
from servd.http.codecs.json_faults import said_of_long
from servd.http.codecs.misnamed import hint_of
from servd.http.codecs.refusals import too_many_rows
from servd.schemas.compiled import UNREADABLE, Compiled, compiled
from servd.schemas.faults import Faults, found

_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Envelope(msgspec.Struct):
    version: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_batch: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_envelope: Final = msgspec.json.Decoder(_Envelope).decode


def is_signed(inputs: Inputs) -> bool:
    """Return whether any version's signature has a say in how bodies are read."""
    return has_say(inputs.signature) or any(map(has_say, inputs.versions.values()))


def read_signed(
    body: memoryview,
    inputs: Inputs,
    bounds: Bounds,
    rows: Rows,
    on_json: Callable[[], object] = int,
) -> Read:
    """Write the rows of a body. `on_json` is called once it is known to be JSON.

    Raises:
        RequestError: it is not what the application takes, or exceeds a bound.
        MemoryError: it cannot be read in the memory that there is.
    """
    faults = Faults()
    try:
        check_utf8(body)
        asked = _envelope_of(body, faults)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RequestError(400, "Json error", said_of_long(body, str(error)).strip()) from None
    version = _version(asked, faults)
    signature = inputs.of(version)
    if signature is None or not has_say(signature):
        kind = inputs.input_type if signature is None else InputType(signature.input_type)
        return read(body, kind, bounds, rows, on_json)
    check_values(body, bounds)
    reads = compiled(signature)
    is_batch = asked.input is msgspec.UNSET
    if not is_batch:
        on_json()
        _write(reads, [asked.input], lambda _: ("input",), rows, faults)
    elif asked.input_batch is not msgspec.UNSET:
        on_json()
        _write_batch(reads, asked.input_batch, bounds, rows, faults)
    elif not faults:
        faults.add(("input",), hint_of(dict.fromkeys(first_key(body)), reads.names), "missing")
    if faults:
        raise refusal(faults, example_of(reads.example, is_batch=is_batch))
    return Read(is_batch, version)


def _envelope_of(body: memoryview, faults: Faults) -> _Envelope:
    if bytes(body[:_BEGIN_BYTES]).lstrip()[:1] == b"{":
        return _envelope(body)
    msgspec.json.decode(body, type=msgspec.Raw)  # it may be no JSON either
    what = found(msgspec.json.decode(body)) if len(body) < _SHOWN_BYTES else "another value"
    faults.add(
        ("body",), f'wanted an object with "input" or "input_batch", found {what}', "dict_type"
    )
    return _Envelope()


_BEGIN_BYTES: Final = 4096
_SHOWN_BYTES: Final = 1 << 24


def _version(asked: _Envelope, faults: Faults) -> str | None:
    if asked.version is msgspec.UNSET:
        return None
    version = msgspec.json.decode(asked.version)
    if isinstance(version, bool) or not isinstance(version, str | int | None):
        faults.unlike(("version",), "a text", version, "string_type")
        return None
    return version_named(version)


def _write_batch(
    reads: Compiled, raw: msgspec.Raw, bounds: Bounds, rows: Rows, faults: Faults
) -> None:
    view = memoryview(raw)
    if bytes(view[:1]) == b"[":
        check_count(view, InputType.ROWS, bounds)
        _write(reads, _elements(raw), lambda at: ("input_batch", at), rows, faults)
        return
    try:
        written: Iterator[bytes] = iter(_by_columns(reads, raw))
    except UNREADABLE:
        content = _value_of(raw, reads)
        written = iter(reads.check_batch(content, ("input_batch",), faults))
    for count, row in enumerate(written, 1):
        if count > bounds.max_rows:
            raise too_many_rows(bounds)
        rows.write(row)
        rows.end_row()


def _value_of(raw: msgspec.Raw, reads: Compiled) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        return read_again(bytes(raw), error, reads.example)


def _by_columns(reads: Compiled, raw: msgspec.Raw) -> list[bytes]:
    if reads.columns is None:
        raise ValueError
    return reads.to_rows(msgspec.json.decode(raw, type=reads.columns))


def _write(
    reads: Compiled,
    elements: list[Any],
    loc: Callable[[int], tuple[str | int, ...]],
    rows: Rows,
    faults: Faults,
) -> None:
    """Write a row of each element, until enough of them are wrong."""
    one: Callable[[Any], Any] = msgspec.json.Decoder(reads.one).decode
    for at, raw in enumerate(elements):
        try:
            row = reads.to_row(one(raw))
        except UNREADABLE:
            row = reads.check(_value_of(raw, reads), loc(at), faults)
        if faults.is_full:
            return
        rows.write(row)
        rows.end_row()

"""Bodies in Clipper's query format to rows by a signature. Used by clipper.py and clipper_long.py.

Its refusals are ours: Clipper has neither names nor types of its inputs. A body that is JSON and
not what is wanted is answered with 422 and all that is wrong with it.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, Final

import msgspec

from model_runtime.signature import Signature
from servd.datatypes import Inputs, InputType
from servd.http.codecs.base import Asked, RequestError
from servd.http.codecs.clipper_bodies import check_json
from servd.http.codecs.json_faults import (
    EXPLAINED_BYTES,
    encoding_fault,
    read_strictly,
    said_of_long,
)
from servd.http.codecs.misnamed import hint_of
from servd.schemas.compiled import UNREADABLE, Compiled, compiled, value_of_row
from servd.schemas.examples import brief
from servd.schemas.faults import Faults, InvalidInputError, Loc, cut, found
from servd.schemas.query import query_of

_UNSET: Final = msgspec.UNSET
_TOLD: Final = 3
_LONGEST_TOLD: Final = 250
_LONGEST: Final = 300
_SHORTEST_EXAMPLE: Final = 60
_CONSTRAINTS: Final = frozenset(
    {
        *("enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minLength", "maxLength", "pattern", "format", "anyOf", "prefixItems", "properties"),
    }
)


def has_say(signature: Signature | None) -> bool:
    """Return whether a signature says more of inputs than their type does."""
    if signature is None:
        return False
    value = signature.value
    if signature.fields is not None or signature.input_type == InputType.ROWS:
        return True
    if not isinstance(value, dict) or not value:
        return False
    items = value.get("items")
    constraints = value.keys() | (items.keys() if isinstance(items, dict) else set())
    return signature.input_type == InputType.ANY or bool(constraints & _CONSTRAINTS)


class SignedBodies:
    """Reads the bodies for one signature."""

    def __init__(self, signature: Signature) -> None:
        self.compiled = compiled(signature)
        request: Any = _request_of(self.compiled)
        self._parse = msgspec.json.Decoder(request).decode
        # msgspec does not look into what it skips.
        self._check = None if self.compiled.is_closed else check_json
        self.decode: Callable[[bytes], bytes | Asked] = self._find_decode()

    def _find_decode(self) -> Callable[[bytes], bytes | Asked]:
        parse, to_row, check, unset = self._parse, self.compiled.to_row, self._check, _UNSET

        def decode(body: bytes) -> bytes | Asked:
            try:
                request = parse(body)
                if check is not None:
                    check(body)
                value = request.input
                if value is unset or request.version is not unset:
                    return self._asked(request)
                return to_row(value)
            except UNREADABLE:
                return self._decode_slowly(body)

        return decode

    def _asked(self, request: Any) -> bytes | Asked:
        """Return what a request of several inputs, or for a version, asks for."""
        version = version_of(request.version)
        to_row = self.compiled.to_row
        if request.input is not _UNSET:
            row = to_row(request.input)
            return row if version is None else Asked(row, version)
        batch = request.input_batch
        if batch is _UNSET:
            raise ValueError
        if isinstance(batch, list):
            return Asked([to_row(each) for each in batch], version)
        return Asked(self.compiled.to_rows(batch), version)

    def _decode_slowly(self, body: bytes) -> bytes | Asked:
        """Return what a body asks for that msgspec could not read by its types.

        Raises:
            RequestError: it is not what is taken.
        """
        try:
            content = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as why:
            content = read_again(body, why, self.compiled.example)
        faults = Faults()
        asked = self._read(content, faults)
        if faults:
            shown = example_of(self.compiled.example, is_batch=is_batch(content))
            raise refusal(faults, shown)
        return asked

    def _read(self, content: Any, faults: Faults) -> bytes | Asked:
        if not isinstance(content, dict):
            what = f'wanted an object with "input" or "input_batch", found {found(content)}'
            faults.add(("body",), what, "dict_type", content)
            return b""
        version = content.get("version")
        if isinstance(version, bool) or not isinstance(version, str | int | None):
            faults.unlike(("version",), "a text", version, "string_type")
        version = version_of(version)
        if "input" in content:
            row = self.compiled.check(content["input"], ("input",), faults)
            return row if version is None else Asked(row, version)
        if "input_batch" in content:
            batch = content["input_batch"]
            return Asked(self.compiled.check_batch(batch, ("input_batch",), faults), version)
        faults.add(("input",), hint_of(content, self.compiled.names), "missing", content)
        return b""


def _request_of(reads: Compiled) -> type[msgspec.Struct]:
    several: Any = list[reads.one]  # type: ignore[name-defined]  # made at run time
    if reads.columns is not None:
        several = several | reads.columns
    return msgspec.defstruct(
        "Request",
        [
            ("version", str | int | msgspec.UnsetType | None, _UNSET),
            ("input", reads.one | msgspec.UnsetType, _UNSET),
            ("input_batch", several | msgspec.UnsetType, _UNSET),
        ],
        forbid_unknown_fields=True,
    )


def version_of(version: Any) -> str | None:
    """Return the version that a body names; None for what a client may send for "none"."""
    return None if version in (None, "", _UNSET) else str(version)


def is_batch(content: Any) -> bool:
    """Return whether a body has several inputs."""
    return isinstance(content, dict) and "input" not in content and "input_batch" in content


def refusal(faults: Faults, shown: Callable[[int], str]) -> RequestError:
    """Return the refusal of a request for what is wrong with its inputs.

    It ends with what `shown` makes in so many characters.
    """
    return RequestError(
        422,
        "Invalid input",
        told([each.msg for each in faults], shown),
        InvalidInputError(faults).detail,
    )


def refusal_by_model(
    said: Iterable[Mapping[str, Any]], inputs: Inputs, row: bytes, at: Loc
) -> RequestError:
    """Return the refusal of an input by the model's own types, as if it were ours.

    `said` are a replica's faults, `at` is where the input stood in the request.
    """
    signature = inputs.signature
    value = _UNSET if signature is None else value_of_row(signature, row)
    faults = Faults()
    for each in said:
        loc = tuple(each.get("loc", ()))
        faults.add((*at, *loc), each["msg"], each.get("type", "value_error"), _within(value, loc))
    shown: Callable[[int], str] = _nothing
    if signature is not None and signature.has_example:
        if at[0] == "query":
            shown = query_example(compiled(signature), signature.example)
        else:
            shown = example_of(signature.example, is_batch=at[0] == "input_batch")
    return refusal(faults, shown)


def _within(value: Any, loc: Loc) -> Any:
    """Return what stands at a place in a value, or what holds it where nothing stands there."""
    for part in loc:
        try:
            value = value[part]
        except (LookupError, TypeError):
            break
    return None if value is _UNSET else value


def _nothing(most: int) -> str:
    """Give no example."""
    del most
    return ""


def query_example(reads: Compiled, example: Any) -> Callable[[int], str]:
    """Return what gives an example as a query string: its first parts, where it is long."""
    text = query_of(reads, example)

    def shown(most: int) -> str:
        room = most - len(" Example: ?&…")
        is_long = len(text) > room
        return (
            f" Example: ?{text[: text[:room].rfind('&') + 1]}…" if is_long else f" Example: ?{text}"
        )

    return shown


def told(said: list[str], shown: Callable[[int], str]) -> str:
    """Return the first of what is said, then an example, all of it within some 300 characters."""
    signs = list(accumulate(len(each) + 2 for each in said[:_TOLD]))
    count = max(1, sum(each <= _LONGEST_TOLD for each in signs))
    text = "; ".join([cut(each, _LONGEST_TOLD) for each in said[:count]])
    text += f"; and {len(said) - count} more" if len(said) > count else ""
    text += "" if text.endswith("?") else "."
    return text + shown(max(_LONGEST - len(text), _SHORTEST_EXAMPLE))


def example_of(example: Any, *, is_batch: bool = False) -> Callable[[int], str]:
    """Return what gives an example in a sentence of so many characters, cut where it is longer."""
    body = {"input_batch": [example]} if is_batch else {"input": example}
    return lambda most: f" Example: {brief(body, most - 10)}"


def read_again(body: bytes, error: Exception, example: Any) -> Any:
    """Return what a body holds that msgspec does not read: whole numbers of hundreds of digits.

    Raises:
        RequestError: it is no JSON.
    """
    if isinstance(error, RecursionError):
        fault = "the body is nested too deeply"
    elif len(body) > EXPLAINED_BYTES:
        fault = encoding_fault(body) or said_of_long(memoryview(body), str(error))
    else:
        content, why = read_strictly(body)
        if why is None:
            return content
        fault = why
    raise RequestError(
        400, "Json error", f"{fault.strip()}.{example_of(example)(_LONGEST)}"
    ) from error

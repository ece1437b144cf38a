"""An application at a path of the deployer's own, with bodies of her own shape: `servd route add`.

`POST /score` with `{"X": [1, 2]}` is answered `{"score": 3}`. The input is read as in Clipper's
format, whose words about it are told in terms of this one. Made by http/query/pages.py.
"""

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from model_runtime.signature import IGNORE, Signature
from servd.carriers.long_bytes import LongBytes, Piece, pieces_of
from servd.datatypes import Inputs, InputType, RouteRule
from servd.engine.query import BadInput, Why
from servd.http.bounds import Bounds
from servd.http.codecs.base import (
    COPIED_BYTES,
    Asked,
    Codec,
    Decode,
    Frame,
    Head,
    Part,
    Read,
    Render,
    RequestError,
    Rows,
    Takes,
    Wanted,
)
from servd.http.codecs.clipper import CLIPPER, miss_object, refused_object
from servd.http.codecs.clipper_bodies import check_json
from servd.http.codecs.clipper_files import file_decoder, read_file
from servd.http.codecs.clipper_inputs import by_inputs, query_decoder
from servd.http.codecs.clipper_signed import SignedBodies, has_say
from servd.http.codecs.json_faults import read_strictly
from servd.http.codecs.media import Kind, kind_of
from servd.http.codecs.refusals import SCHEMA, too_many_rows
from servd.http.codecs.routed_operations import operations
from servd.http.documents.application import Described
from servd.http.documents.openapi import Operations
from servd.http.documents.schemas import by_type
from servd.http.wire import Reply
from servd.schemas.compiled import compiled
from servd.schemas.faults import Loc, found, shown

if TYPE_CHECKING:
    from servd.engine.route import NoSuchVersionError, Route

_INPUT: Final = b"input"
_BATCH: Final = b"input_batch"


class RoutedCodec(Codec):
    """The wire format of one rule. Without state but for the rule, which `spelled` has as JSON."""

    begins = ()
    headers: Mapping[str, frozenset[str]] = CLIPPER.headers

    def __init__(self, rule: RouteRule) -> None:
        self.rule = rule
        self.spelled = f"servd.http.codecs.routed:read_codec:{msgspec.json.encode(rule).decode()}"
        self._key = _BATCH if rule.is_batch else _INPUT
        self._value = None if rule.takes is None else _value_decoder(rule.takes)
        gives = b"" if rule.gives is None else b"{%b:" % msgspec.json.encode(rule.gives)
        self._opening, self._closing = gives, b"}" if gives else b""
        # The query's id, which comes first, has no place in such an answer: nothing of it is told.
        form = b"%.0a" + gives.replace(b"%", b"%%") + b"%b" + self._closing
        self._render: Render = form.__mod__

    @property
    def place(self) -> Loc:
        """Where in a request the input is, or the list of inputs."""
        if self.rule.method == "GET":
            return ("query",)
        return ("body",) if self.rule.takes is None else ("body", self.rule.takes)

    # --- requests ---

    def decoder(self, takes: Takes, head: Head) -> Decode:
        """Return how bodies, or the query string of a GET, become rows."""
        inputs = takes.inputs
        if self.rule.method == "GET":
            return self._as_batch(query_decoder(inputs, head.query))
        read, rewritten = _reader_of(inputs), self._rewritten

        def decode(body: bytes) -> bytes | Asked:
            try:
                return read(rewritten(body, inputs))
            except RequestError as error:
                raise self._told(error) from None

        if self._is_whole and kind_of(head) is not Kind.JSON:
            return file_decoder(inputs, head, lambda: decode)
        return decode

    @property
    def _is_whole(self) -> bool:
        """Whether a body is one input and nothing else, which may be a file."""
        return self._value is None and not self.rule.is_batch

    def _as_batch(self, decode: Decode) -> Decode:
        if not self.rule.is_batch:
            return decode

        def decode_one(body: bytes) -> Asked:
            asked = decode(body)
            return Asked([asked]) if isinstance(asked, bytes) else asked

        return decode_one

    def _rewritten(self, body: bytes, inputs: Inputs) -> bytes:
        """Return the body in Clipper's format that asks for the same.

        Raises:
            RequestError: it is not JSON, or the key is missing.
        """
        try:
            check_json(body, InputType.ANY)
        except RequestError as error:
            fault = error.cause.partition(". Example: ")[0].replace(': {"input": …}', "")
            shown_input = msgspec.json.encode(compiled(_signature(inputs)).example).decode()
            key = "input_batch" if self.rule.is_batch else "input"
            listed = f"[{shown_input}]" if self.rule.is_batch else shown_input
            example = f' Example: {{"{key}":{listed}}}' if len(listed) < _LONGEST_EXAMPLE else ""
            raise RequestError(error.status, error.error, f"{fault}.{example}") from None
        if self._value is None:
            return b'{"%b":%b}' % (self._key, body)
        try:
            value = self._value(body).value
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise self._missing(body) from None
        return b'{"%b":%b}' % (self._key, bytes(value))

    def _missing(self, body: bytes) -> RequestError:
        """Return the refusal of a body without the key."""
        content, why = read_strictly(body)
        key = self.rule.takes or ""
        if why is not None:
            return RequestError(400, "Json error", why)
        what = f"wanted an object with {shown(key)}, found {found(content)}"
        if isinstance(content, dict):
            what = f"{shown(key)} is missing; the body has {', '.join(map(shown, content)) or '{}'}"
        detail = [{"loc": ["body", key], "msg": what, "type": "missing"}]
        return RequestError(422, "Invalid input", f"{what}.", detail)

    def _told(self, error: RequestError) -> RequestError:
        """Return a refusal in Clipper's format in the words of this one."""
        key = self.rule.takes
        name = "the body" if key is None else key
        cause = _EXAMPLE.sub(lambda match: f"{match[1]}{self._example(match[2])}", error.cause)
        cause = _PLACE.sub(lambda match: f"{match[1]}{name}", cause).removesuffix(f". {SCHEMA}")
        detail = None
        if error.detail is not None:
            detail = [
                each
                | {"loc": _renamed(each["loc"], key)}
                | {"msg": _PLACE.sub(lambda match: f"{match[1]}{name}", each["msg"])}
                for each in error.detail
            ]
        return RequestError(error.status, error.error, cause, detail)

    def _example(self, value: str) -> str:
        key = self.rule.takes
        return value if key is None else f"{{{msgspec.json.encode(key).decode()}:{value}}}"

    def body_key(self, head: Head) -> Hashable | None:
        """Return what bodies are known by: those of JSON."""
        is_json = head.method == "POST" and kind_of(head) is Kind.JSON
        return self.spelled if is_json and not head.query else None

    def read_long(
        self, body: memoryview, wanted: Wanted, rows: Rows, on_json: Callable[[], object]
    ) -> Read:
        """Write the rows of a long body."""
        if self._is_whole and kind_of(wanted.head) is not Kind.JSON:
            asked = read_file(body, wanted, rows)
            if asked is not None:
                return asked
        try:
            same = self._rewritten(bytes(body), wanted.inputs)
            try:
                return CLIPPER.read_long(memoryview(same), _as_json(wanted), rows, on_json)
            except RequestError as error:
                if error.detail is None and len(same) <= _EXPLAINED_BYTES:
                    SignedBodies(_signature(wanted.inputs)).decode(same)
                raise
        except RequestError as error:
            raise self._told(error) from None

    def operations(self, application: Described, is_short: bool) -> Iterator[Operations | None]:  # noqa: FBT001
        """Yield what the path answers."""
        yield operations(self.rule, application, is_short=is_short)

    # --- answers ---

    def renderer(self, head: Head) -> Render:
        """Return how an output becomes an answer."""
        del head
        return self._render

    def long_output(self, query_id: int, output: LongBytes, head: Head) -> list[Piece]:
        """Return the pieces of the answer that gives a long output."""
        del query_id, head
        return [*self._around(self._opening), *pieces_of((output,)), *self._around(self._closing)]

    def _around(self, text: bytes) -> list[Piece]:
        return [text] if text else []

    def missed(self, route: "Route", query_id: int, why: Why, row: bytes, head: Head) -> Reply:
        """Return the default output, said to be one in a header, or an error object."""
        del head
        status, text = _miss(route, query_id, why, row, self.place)
        if status != 200:  # OK: there is a default
            return Reply(status, text)
        body = self._opening + (route.default or b"null") + self._closing
        return Reply(200, body, extra=b"Servd-Default: %b\r\n" % why.json[1:-1])

    def gather(self, route: "Route", head: Head) -> "RoutedBatch":
        """Return how several inputs are answered: in a list."""
        del head
        return RoutedBatch(route, self.place, self._opening, self._closing)

    def refused(self, error: RequestError) -> Reply:
        """Return the answer for a request that is refused."""
        return CLIPPER.refused(error)

    def no_such_version(self, error: "NoSuchVersionError") -> RequestError:
        """Return how a query is refused that names a version which is not there."""
        return CLIPPER.no_such_version(error)

    def too_many_rows(self, bounds: Bounds) -> RequestError:
        """Return the refusal of a request of too many inputs."""
        return self._told(too_many_rows(bounds))


class RoutedBatch:
    """The answer about several inputs: a list of outputs, each default in its place.

    What has neither is an object that says why, and the answer has its status.
    """

    __slots__ = ("_closing", "_opening", "_place", "_route", "_status")

    def __init__(self, route: "Route", place: Loc, opening: bytes, closing: bytes) -> None:
        self._route = route
        self._place = place
        self._opening = opening
        self._closing = closing
        self._status = 200

    def output(self, query_id: int, output: bytes | LongBytes) -> Part:
        """Return one output."""
        del query_id
        if isinstance(output, bytes) and len(output) <= COPIED_BYTES:
            return output
        return list(pieces_of((output,)))

    def missed(self, index: int, query_id: int, why: Why, row: bytes) -> Part:
        """Return one default, or one error object where there is no default."""
        place = (*self._place, index) if self._place[0] == "body" else self._place
        status, text = _miss(self._route, query_id, why, row, place)
        if status == 200:  # OK: there is a default
            return self._route.default or b"null"
        self._status = max(self._status, status)
        return text

    def frame(self, count: int) -> Frame:
        """Return what holds the list."""
        del count
        return Frame(self._status, self._opening + b"[", b",", b"]" + self._closing)


def _reader_of(inputs: Inputs) -> Decode:
    """Return how bodies in Clipper's format become rows here: what it refuses in Clipper's words
    is looked at again, as these are for Clipper's clients.
    """
    read, explain = by_inputs(inputs), None

    def decode(body: bytes) -> bytes | Asked:
        nonlocal explain
        try:
            return read(body)
        except RequestError as error:
            if error.detail is not None:
                raise
            if explain is None:
                explain = SignedBodies(_signature(inputs)).decode
            explain(body)
            raise

    return decode


def _signature(inputs: Inputs) -> Signature:
    """Return what is known of inputs, at least what their type says by itself."""
    if has_say(inputs.signature) and inputs.signature is not None:
        return inputs.signature
    known = inputs.signature
    return Signature(
        input_type=inputs.input_type.value,
        value=by_type(inputs.input_type, None),
        extra=IGNORE,
        has_example=known is not None and known.has_example,
        example=None if known is None else known.example,
    )


_LONGEST_EXAMPLE: Final = 400
_EXPLAINED_BYTES: Final = 1 << 20
"""A longer body is refused in fewer words: looking at each of its values takes long."""

_PLACE: Final = re.compile(r"(^|; )input(?:_batch)?(?=[\[.:])")
"""Where a sentence begins with the place that it is about."""

_EXAMPLE: Final = re.compile(r'( Example: )\{"input(?:_batch)?":(.*)\}$', re.DOTALL)


def _renamed(loc: list[Any], key: str | None) -> list[Any]:
    """Return a place in a body of Clipper's format as a place in one of this."""
    place = loc if loc[:1] != ["body"] else loc[1:]
    if place[:1] not in (["input"], ["input_batch"]):
        return loc
    return ["body", *([] if key is None else [key]), *place[1:]]


def _miss(route: "Route", query_id: int, why: Why, row: bytes, place: Loc) -> tuple[int, bytes]:
    """Return the status and the object that say an input got no output; it stood at `place`."""
    if isinstance(why, BadInput):
        return refused_object(query_id, route, why, row, place)
    return miss_object(query_id, route, why, row)


def _as_json(wanted: Wanted) -> Wanted:
    return msgspec.structs.replace(wanted, head=Head())


def _value_decoder(key: str) -> Callable[[bytes], Any]:
    """Return what finds the value of one key of an object; others are passed over."""
    shape = msgspec.defstruct("Body", [("value", msgspec.Raw)], rename={"value": key})
    return msgspec.json.Decoder(shape).decode


@lru_cache(maxsize=256)
def codec_of(rule: RouteRule) -> RoutedCodec:
    """Return the codec of a rule."""
    return RoutedCodec(rule)


def read_codec(rule: str) -> RoutedCodec:
    """Return the codec of a rule that is given as JSON: the reader of long bodies has no other."""
    return codec_of(msgspec.json.decode(rule, type=RouteRule))

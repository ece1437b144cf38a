"""Clipper's query format: the query API of Clipper 0.4, at /NAME/predict and /NAME/update."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Final

import msgspec

from servd.carriers.long_bytes import LongBytes, Piece, pieces_of
from servd.engine.query import ALWAYS_ERRORS, BadInput, Why
from servd.http.bounds import Bounds
from servd.http.codecs.base import (
    COPIED_BYTES,
    FEEDBACK,
    PREDICT,
    ROOT,
    SHOWN_NAME,
    STATUS,
    Codec,
    Decode,
    Frame,
    Head,
    Part,
    Read,
    Render,
    RequestError,
    Resource,
    Rows,
    Takes,
    Wanted,
    cause_of,
)
from servd.http.codecs.clipper_bodies import check_json
from servd.http.codecs.clipper_files import as_it_is, file_decoder, is_scanned, read_file
from servd.http.codecs.clipper_inputs import (
    by_inputs,
    has_names,
    query_decoder,
)
from servd.http.codecs.clipper_long import check_feedback, read
from servd.http.codecs.clipper_long_signed import is_signed, read_signed
from servd.http.codecs.clipper_operations import operations
from servd.http.codecs.clipper_signed import refusal_by_model
from servd.http.codecs.media import Kind, kind_of
from servd.http.codecs.refusals import SCHEMA, UPDATE_SCHEMA, too_many_rows
from servd.http.documents.application import Described
from servd.http.documents.openapi import Operations
from servd.http.wire import Reply, error_body
from servd.schemas.examples import brief, of_inputs
from servd.schemas.faults import Loc, cut

if TYPE_CHECKING:
    from servd.engine.route import NoSuchVersionError, Route

_OUTPUT: Final = b'{"query_id":%d,"output":%b,"default":false}'
_EXAMPLE_SIGNS: Final = 120
_VERBS: Final = {b"predict": PREDICT, b"update": FEEDBACK}


class ClipperCodec(Codec):
    """`{"input": …}` to `{"query_id": …, "output": …, "default": …}`."""

    spelled = "servd.http.codecs.clipper:CLIPPER"
    begins = (b'{"input":',)
    headers: Mapping[str, frozenset[str]] = {
        "content-type": frozenset(
            {
                *("application/json", "application/json; charset=utf-8"),
                "application/json;charset=utf-8",
            }
        ),
        "accept": frozenset({"*/*", "application/json", "application/json, */*"}),
        "cache-control": frozenset({"max-age=0"}),  # a browser's, at each reload
    }

    def find(self, path: bytes) -> Resource | None:
        """Return what /NAME/predict or /NAME/update stands for, or /predict or /update."""
        name, slash, verb = path.strip(b"/").partition(b"/")
        if not slash:
            name, verb = ROOT.encode(), name
        found = _VERBS.get(verb)
        return None if found is None else Resource(name.decode(errors="replace"), found)

    def body_key(self, head: Head) -> Hashable | None:
        """Return what bodies are known by: those of JSON, and others without a query string.

        A form is known by its boundary too, which is another one each time.
        """
        kind = kind_of(head)
        if kind is Kind.JSON:
            return self.spelled if head.method == "POST" else None
        is_known = kind is Kind.OTHER and head.method == "POST" and not head.query
        return f"{self.spelled} as it is" if is_known else None

    def is_lasting(self, head: Head) -> bool:
        """Return whether a client may send the same head again: no form has the same boundary."""
        return kind_of(head) is not Kind.FORM

    def decoder(self, takes: Takes, head: Head) -> Decode:
        """Return how bodies, or the query string of a GET, become rows."""
        inputs = takes.inputs
        if head.method != "POST":
            return query_decoder(inputs, head.query)
        if kind_of(head) is Kind.JSON:
            return by_inputs(inputs)
        return file_decoder(inputs, head, lambda: by_inputs(inputs))

    def as_it_is(self, takes: Takes, head: Head, begin: bytes) -> Read | None:
        """Return what a long body asks for that is the input itself."""
        return as_it_is(takes.inputs, head, begin)

    def is_scanned(self, takes: Takes, head: Head, begin: bytes) -> bool:
        """Return whether long bodies that begin so are forms, whose parts are only looked for."""
        return is_scanned(takes.inputs, head, begin)

    def methods(self, resource: Resource, takes: Takes) -> tuple[bytes, ...]:
        """Return the methods of a place: inputs with names can be given by GET too."""
        is_named = resource.verb == PREDICT and has_names(takes.inputs)
        return (b"GET", b"HEAD", b"POST") if is_named else resource.methods

    def methods_hint(self, resource: Resource, takes: Takes, url: str) -> str:
        """Say how to ask where inputs have no names, which a query string would need."""
        if has_names(takes.inputs) or resource.verb != PREDICT:
            return ""
        body = quote(brief({"input": of_inputs(takes.inputs)}, _EXAMPLE_SIGNS))
        return (
            "the inputs of this application have no names, which a query string would give: "
            f"send a POST, as by curl -d {body} {quote(url)}"
        )

    def read_long(
        self, body: memoryview, wanted: Wanted, rows: Rows, on_json: Callable[[], object]
    ) -> Read:
        """Write the rows of a long body, a piece of it at a time."""
        inputs, bounds = wanted.inputs, wanted.bounds
        if wanted.verb == PREDICT and kind_of(wanted.head) is not Kind.JSON:
            asked = read_file(body, wanted, rows)
            if asked is not None:
                return asked
        if is_signed(inputs):
            if wanted.verb != PREDICT:
                check_feedback(body)
            return read_signed(body, inputs, bounds, rows, on_json)
        if wanted.verb == PREDICT:
            return read(body, inputs.input_type, bounds, rows, on_json)
        check_feedback(body)
        try:
            return read(body, inputs.input_type, bounds, rows, on_json)
        except RequestError as error:
            raise _of_feedback(error) from None

    def operations(self, application: Described, is_short: bool) -> Iterator[Operations | None]:  # noqa: FBT001
        """Yield what /NAME/predict and /NAME/schema answer."""
        return operations(application, is_short)

    def renderer(self, head: Head) -> Render:
        """Return how an output becomes an answer."""
        del head
        return _OUTPUT.__mod__

    def long_output(self, query_id: int, output: LongBytes, head: Head) -> list[Piece]:
        """Return the pieces of the object that gives a long output."""
        del head
        return _long_output(query_id, output)

    def missed(self, route: "Route", query_id: int, why: Why, row: bytes, head: Head) -> Reply:
        """Return the default output with the reason, or an error object."""
        if isinstance(why, BadInput):
            return Reply(*refused_object(query_id, route, why, row, _place_of(head)))
        return Reply(*miss_object(query_id, route, why, row))

    def gather(self, route: "Route", head: Head) -> "ClipperBatch":
        """Return how an input_batch is answered."""
        return ClipperBatch(route, head)

    def no_such_version(self, error: "NoSuchVersionError") -> RequestError:
        """Return how a query is refused that names a version which is not there."""
        version = cut(error.version, SHOWN_NAME)
        cause = f"Requested version: {version} does not exist for model: {error.model}"
        return RequestError(400, "Query processing error", cause)

    def too_many_rows(self, bounds: Bounds) -> RequestError:
        """Return the refusal of an input_batch of too many inputs."""
        return too_many_rows(bounds)

    def answer(self, resource: Resource, route: "Route", head: Head, body: bytes | None) -> Reply:
        """Take feedback. The default selection policy learns nothing from it, as in Clipper."""
        del resource, head
        if body is None:
            return Reply(200, FEEDBACK_RECEIVED)
        try:
            check_json(body)
            feedback = msgspec.json.decode(body, type=_Feedback)
            by_inputs(route.inputs)(b'{"input":%b}' % bytes(feedback.input))
        except (msgspec.MsgspecError, RecursionError) as error:
            cause = f"Error parsing JSON: {error}. {UPDATE_SCHEMA}"
            raise RequestError(400, "Json error", cause) from None
        except RequestError as error:
            raise _of_feedback(error) from None
        return Reply(200, FEEDBACK_RECEIVED)


FEEDBACK_RECEIVED: Final = b"Feedback received? 1"


class _Feedback(msgspec.Struct):
    uid: int
    label: float
    input: msgspec.Raw


def _of_feedback(error: RequestError) -> RequestError:
    """Return a refusal of an input that names what feedback is to be like."""
    cause = error.cause.replace(SCHEMA, UPDATE_SCHEMA)
    return RequestError(error.status, error.error, cause)


class ClipperBatch:
    """The answer to an input_batch. One of exactly one input is answered as that one input is.

    An answer with at least one prediction or default is a 200; the rest say so themselves.
    """

    __slots__ = ("_head", "_route", "_status")

    def __init__(self, route: "Route", head: Head) -> None:
        self._route = route
        self._head = head
        self._status = 0

    def output(self, query_id: int, output: bytes | LongBytes) -> Part:
        """Return one prediction."""
        self._status = 200
        if len(output) > COPIED_BYTES:
            return _long_output(query_id, output)
        return _OUTPUT % (query_id, output)

    def missed(self, index: int, query_id: int, why: Why, row: bytes) -> Part:
        """Return one default, or one error object where there is no default."""
        if isinstance(why, BadInput):
            place = _place_of(self._head, "input_batch")
            status, part = refused_object(query_id, self._route, why, row, (*place, index))
        else:
            status, part = miss_object(query_id, self._route, why, row)
        self._status = 200 if 200 in (status, self._status) else status
        return part

    def frame(self, count: int) -> Frame:
        """Return what holds the predictions."""
        if count == 1:
            return Frame(self._status)
        return Frame(self._status or 200, b'{"batch_predictions":[', b",", b"]}")


def _long_output(query_id: int, output: bytes | LongBytes) -> list[Piece]:
    return [b'{"query_id":%d,"output":' % query_id, *pieces_of((output,)), b',"default":false}']


def miss_object(query_id: int, route: "Route", why: Why, row: bytes = b"") -> tuple[int, bytes]:
    """Return the status and the object that say a query got no output.

    An application with a default output gives it, with the explanation; one without gives an error
    whose status says the kind.
    """
    default = route.default
    if default is None or why.kind in ALWAYS_ERRORS:
        text = error_body("Query processing error", cause_of(route, why, row), query_id)
        return STATUS[why.kind], text
    return 200, b'{"query_id":%d,"output":%b,"default":true,"default_explanation":%b}' % (
        query_id,
        default,
        why.json,
    )


def refused_object(
    query_id: int, route: "Route", why: BadInput, row: bytes, place: Loc
) -> tuple[int, bytes]:
    """Return the status and the object for an input that the model's own types do not take.

    It is the caller's fault, whether the application has a default output or not. `place` is where
    the input stood in the request.
    """
    error = refusal_by_model(why.faults or [{"msg": why.value}], route.inputs, row, place)
    return error.status, error_body(error.error, error.cause, query_id, error.detail)


def _place_of(head: Head, usual: str = "input") -> Loc:
    """Return where the inputs of a request stand."""
    if head.method != "POST":
        return ("query",)
    return ("form",) if kind_of(head) is Kind.FORM else (usual,)


CLIPPER: Final = ClipperCodec()

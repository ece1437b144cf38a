"""Seldon's protocol, v0.1 and v1.0: messages to and from any application (docs/seldon.md).

An application takes what a message holds as its inputs; a class that is written for Seldon Core
takes the message itself, and answers with one (model_runtime/seldon/).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from servd.datatypes import Inputs
from servd.engine.query import Miss, Why
from servd.http.bounds import Bounds
from servd.http.codecs.base import (
    AskedAs,
    Codec,
    Decode,
    Gathering,
    Head,
    Render,
    RequestError,
    Resource,
    Takes,
)
from servd.http.codecs.media import Kind, kind_of
from servd.http.codecs.seldon_answers import (
    BAD_DATA,
    INTERNAL,
    KNOWN,
    MESSAGE,
    METADATA,
    SeldonAnswer,
    error_message,
)
from servd.http.codecs.seldon_bodies import PARTS, ReadBody, is_message, is_others, reader, refused
from servd.http.codecs.seldon_inputs import ARRAY, reader_of
from servd.http.codecs.seldon_messages import (
    UNSET,
    check,
    check_filled,
    read_feedback,
    read_message,
)
from servd.http.codecs.seldon_paths import (
    FEEDBACK,
    HEALTH,
    PING,
    PREDICTIONS,
    TRANSFORM_INPUT,
    TRANSFORM_OUTPUT,
    place_of,
)
from servd.http.codecs.seldon_paths import METADATA as METADATA_PLACE
from servd.http.wire import Reply

if TYPE_CHECKING:
    from servd.engine.route import NoSuchVersionError, Route

_TEXT: Final = b"text/html; charset=utf-8"
"""Of "pong", as Seldon's wrapper says it."""

_TAKEN: Final = b'{"data":{"tensor":{"shape":[0]}},"meta":{}}\n'
_TAKEN_ARRAY: Final = b'{"data":{"ndarray":[]},"meta":{}}\n'
"""That feedback was taken, as Seldon's wrapper says it: with nothing in the form of the request."""


class SeldonCodec(Codec):
    """`{"data": {"tensor": …}}` to the same with what the model says."""

    spelled = "servd.http.codecs.seldon:SELDON"
    wants_head = True
    headers: Mapping[str, frozenset[str]] = {
        "content-type": frozenset(
            {
                *("application/json", "application/json; charset=utf-8"),
                "application/json;charset=utf-8",
            }
        ),
        "cache-control": frozenset({"max-age=0"}),
    }

    # --- requests ---

    def find(self, path: bytes) -> Resource | None:
        """Return what a path stands for: all are places where a model may have to be asked."""
        place = place_of(path.decode(errors="replace"))
        return None if place is None else Resource(place.application, methods=place.methods)

    def claims(self, takes: Takes, head: Head, begin: bytes) -> bool:
        """Return whether a request to /predict is a message: its first key says so.

        What says nothing is one where the model is a Seldon class.
        """
        if is_message(head, begin):
            # A form may have fields of these names.
            return kind_of(head) is not Kind.FORM or not _has_payload_fields(takes.inputs)
        return is_class(takes.inputs) and not is_others(begin)

    def decoder(self, takes: Takes, head: Head) -> Decode:
        """Return how messages become inputs, or what else a place asks for."""
        place = place_of(head.path)
        verb = PREDICTIONS if place is None else place.verb
        inputs = takes.inputs
        if verb == PREDICTIONS:
            return _predictions(inputs, reader(head))
        if verb == PING:
            return _known(b"pong")
        if verb == METADATA_PLACE:
            return _asking(verb, METADATA) if is_class(inputs) else _known(b"", METADATA)
        if verb == HEALTH:
            healthy = b'{"meta":{},"strData":"healthy"}\n'
            return _asking(verb, MESSAGE) if is_class(inputs) else _known(healthy)
        if verb == FEEDBACK:
            return _feedback(inputs, reader(head))
        return _transform(inputs, verb, reader(head))

    def is_lasting(self, head: Head) -> bool:
        """Return whether a client may send the same head again: no form has the same boundary."""
        return kind_of(head) is not Kind.FORM

    # --- answers ---

    def kind(self, head: Head) -> bytes:
        """Return the Content-Type of answers: JSON's, but for "pong"."""
        place = place_of(head.path)
        return _TEXT if place is not None and place.verb == PING else super().kind(head)

    def renderer(self, head: Head) -> Render:
        """Return how the output of the one input of a stream is told."""
        del head
        return lambda answer: answer[1]

    def missed(self, route: "Route", query_id: int, why: Why, row: bytes, head: Head) -> Reply:
        """Return the message for an input without an output."""
        answer = self.gather(route, head)
        answer.missed(0, query_id, why, row)
        frame = answer.frame(1)
        return Reply(frame.status, frame.opening)

    def gather(self, route: "Route", head: Head) -> Gathering:
        """Return how a message is made of outputs of which nothing else is known."""
        return self.gather_as(route, head, ARRAY)

    def gather_as(self, route: "Route", head: Head, told: bytes) -> Gathering:
        """Return how the answer to a message is made."""
        place = place_of(head.path)
        return SeldonAnswer(route, told, is_gateway=place is not None and place.is_gateway)

    def refused(self, error: RequestError) -> Reply:
        """Return the answer for a message that is refused."""
        reason = INTERNAL if error.status >= 500 else BAD_DATA
        return Reply(error.status, error_message(error.cause, reason))

    def fault(self, query_id: int) -> Reply:
        """Return the answer for what nobody foresaw."""
        return Reply(500, error_message(f"{Miss.FAULT.value} ({query_id})", INTERNAL))

    def no_such_version(self, error: "NoSuchVersionError") -> RequestError:
        """Return how a query is refused that names a version: messages name none."""
        return refused(f"{error}")

    def too_many_rows(self, bounds: Bounds) -> RequestError:
        """Return the refusal of a message of too many rows."""
        cause = (
            f"the message has more than {bounds.max_rows} rows: "
            "send several messages, or raise the server's --max-rows"
        )
        return RequestError(413, BAD_DATA, cause)

    def unknown(self, resource: Resource) -> Reply:
        """Return the answer where no application has the name."""
        text = super().unknown(resource).body
        cause = msgspec.json.decode(bytes(text), type=dict[str, str])["cause"]  # type: ignore[arg-type]
        return Reply(404, error_message(cause, BAD_DATA))


def _has_payload_fields(inputs: Inputs) -> bool:
    signature = inputs.signature
    return signature is not None and not PARTS.isdisjoint(signature.fields or ())


def is_class(inputs: Inputs) -> bool:
    """Tell whether an application's model is a class that is written for Seldon Core."""
    return inputs.signature is not None and inputs.signature.is_seldon


def _predictions(inputs: Inputs, read: ReadBody) -> Decode:
    if is_class(inputs):
        return lambda body: AskedAs([_checked(read(body))], MESSAGE)
    take = reader_of(inputs)
    return lambda body: take(read_message(read(body)))


def _checked(text: bytes) -> bytes:
    """Return a message that a class will take.

    Raises:
        RequestError: it is none.
    """
    message = read_message(text)
    check(text)
    if message.data is not UNSET:
        check_filled(message.data)
    return text


def _known(answer: bytes, form: bytes = KNOWN) -> Decode:
    """Return what decodes a request that no model has to be asked for."""
    asked = AskedAs([], form + answer)
    return lambda _body: asked


def _asking(verb: str, form: bytes) -> Decode:
    """Return what decodes a request for what a class says without a message."""
    asked = AskedAs([b'{"seldon":"%b"}' % verb.encode()], form)
    return lambda _body: asked


def _wrapped(verb: str, text: bytes) -> AskedAs:
    return AskedAs([b'{"seldon":"%b","message":%b}' % (verb.encode(), text)], MESSAGE)


def _feedback(inputs: Inputs, read: ReadBody) -> Decode:
    """Return what takes feedback: a class is told of it, other models learn nothing from it."""

    def decode(body: bytes) -> AskedAs:
        text = read(body)
        feedback = read_feedback(text)
        if is_class(inputs):
            return _wrapped(FEEDBACK, text)
        data = feedback.request.data if feedback.request is not None else UNSET
        is_array = data is not UNSET and data.ndarray is not UNSET
        return AskedAs([], KNOWN + (_TAKEN_ARRAY if is_array else _TAKEN))

    return decode


def _transform(inputs: Inputs, verb: str, read: ReadBody) -> Decode:
    if not is_class(inputs):
        assert verb in (TRANSFORM_INPUT, TRANSFORM_OUTPUT)  # noqa: S101
        cause = f"this application's model is no Seldon class: nothing has {verb}"
        raise RequestError(404, BAD_DATA, cause)
    return lambda body: _wrapped(verb, _checked(read(body)))


SELDON: Final = SeldonCodec()

"""SeldonMessage and Feedback, as they come: what is in them, checked. Used by seldon.py."""

from typing import Any, Final

import msgspec

from servd.http.codecs.base import RequestError
from servd.http.codecs.clipper_bodies import check_json
from servd.http.codecs.json_faults import EXPLAINED_BYTES, encoding_fault, read_strictly
from servd.http.codecs.seldon_bodies import refused
from servd.schemas.faults import similar

UNSET: Final = msgspec.UNSET
_Unset = msgspec.UnsetType
PAYLOADS: Final = ("data", "jsonData", "strData", "binData")


class Tensor(msgspec.Struct):
    """Numbers in a shape, by rows."""

    shape: list[int] | _Unset = UNSET
    values: list[float] | _Unset = UNSET


class Data(msgspec.Struct):
    """Columns with names."""

    names: list[str] | None = None
    tensor: Tensor | _Unset = UNSET
    ndarray: msgspec.Raw | _Unset = UNSET
    tftensor: msgspec.Raw | _Unset = UNSET


class Meta(msgspec.Struct, omit_defaults=True):
    """What comes back with the answer. In the order in which it is told."""

    metrics: list[dict[str, Any]] | None = None
    puid: str | None = None
    requestPath: dict[str, str] | None = None  # noqa: N815 - Seldon's name
    routing: dict[str, int] | None = None
    tags: dict[str, Any] | None = None


class Message(msgspec.Struct):
    """A SeldonMessage."""

    data: Data | _Unset = UNSET
    jsonData: msgspec.Raw | _Unset = UNSET  # noqa: N815 - Seldon's names
    strData: str | _Unset = UNSET  # noqa: N815
    binData: str | _Unset = UNSET  # noqa: N815
    customData: msgspec.Raw | _Unset = UNSET  # noqa: N815
    meta: Meta | None = None


class Feedback(msgspec.Struct):
    """What an answer was worth, and what it should have been."""

    request: Message | None = None
    response: Message | None = None
    reward: float = 0.0
    truth: Message | None = None


_message: Final = msgspec.json.Decoder(Message).decode
_feedback: Final = msgspec.json.Decoder(Feedback).decode
_ERRORS: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def read_message(text: bytes) -> Message:
    """Return a message that has one payload.

    Raises:
        RequestError: it is none, or has several.
    """
    try:
        message = _message(text)
    except _ERRORS as error:
        raise _unreadable(text, error) from None
    data = message.data
    if data is UNSET:
        _check_payload(message, text)
    elif (
        message.strData is not UNSET
        or message.jsonData is not UNSET
        or message.binData is not UNSET
        or (data.tensor is UNSET) is (data.ndarray is UNSET)
        or data.tftensor is not UNSET
    ):
        _check_payload(message, text)
        _check_data(data, text)
    return message


def read_feedback(text: bytes) -> Feedback:
    """Return a feedback.

    Raises:
        RequestError: it is none.
    """
    check(text)
    try:
        feedback = _feedback(text)
    except _ERRORS as error:
        raise _unreadable(text, error) from None
    if feedback.request is None and feedback.response is None and feedback.truth is None:
        keys = ", ".join(msgspec.json.decode(text, type=dict[str, msgspec.Raw])) or "nothing"
        raise refused(f"a feedback has request, response, reward and truth; this one has {keys}")
    for message in (feedback.request, feedback.truth):
        data = UNSET if message is None else message.data
        if data is not UNSET:
            _check_data(data, text, is_optional=True)
            check_filled(data)
    return feedback


def check(text: bytes) -> None:
    """Refuse what is not JSON to the last byte.

    Raises:
        RequestError: it is not.
    """
    try:
        check_json(text)
    except RequestError as error:
        raise _unreadable(text, error) from None


def _unreadable(text: bytes, error: Exception) -> RequestError:
    """Return the refusal of what is no message; what is wrong with JSON is said with its place."""
    if isinstance(error, msgspec.ValidationError):
        said, _, place = str(error).partition(" - at `$")
        where = place.rstrip("`").lstrip(".") or "the message"
        return refused(f"{where}: {said[:1].lower() + said[1:]}")
    is_short = len(text) <= EXPLAINED_BYTES
    fault = read_strictly(text)[1] if is_short else encoding_fault(text)
    return refused(f"it is not JSON: {(fault or str(error)).strip()}")


def _check_payload(message: Message, text: bytes) -> None:
    if message.customData is not UNSET:
        raise refused("customData is a message of protobuf's, which JSON is not: send jsonData")
    given = [name for name in PAYLOADS if getattr(message, name) is not UNSET]
    if len(given) > 1:
        raise refused(f"the message has {' and '.join(given)}: send one of them")
    if not given:
        keys = list(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
        raise refused(f"the message has {_said(keys, PAYLOADS)}: send one of {_listed(PAYLOADS)}")


_KINDS: Final = ("tensor", "ndarray")


def _check_data(data: Data, text: bytes, *, is_optional: bool = False) -> None:
    if data.tftensor is not UNSET:
        raise refused("data.tftensor is TensorFlow's own form: send tensor or ndarray")
    has_tensor, has_array = data.tensor is not UNSET, data.ndarray is not UNSET
    if has_tensor and has_array:
        raise refused("data has a tensor and an ndarray: send one of them")
    if not has_tensor and not has_array and not is_optional:
        keys: list[str] = []
        found = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).get("data")
        if found is not None:
            keys = list(msgspec.json.decode(found, type=dict[str, msgspec.Raw]))
        raise refused(f"data has {_said(keys, _KINDS)}: send a tensor or an ndarray")


def _said(keys: list[str], wanted: tuple[str, ...]) -> str:
    if not keys:
        return "nothing"
    shown = ", ".join(f'"{key[:40]}"' for key in keys[:5])
    near = next(((key, found) for key in keys[:5] if (found := similar(key, wanted))), None)
    return shown if near is None or near[0] in wanted else f"{shown} (did you mean {near[1]}?)"


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def check_filled(data: Data) -> None:
    """Refuse a tensor whose values do not fill its shape.

    Raises:
        RequestError: they do not.
    """
    if data.tensor is not UNSET:
        shape_of(data.tensor)


def shape_of(tensor: Tensor) -> tuple[list[int], list[float]]:
    """Return the shape and the values of a tensor.

    Raises:
        RequestError: it has none, or they do not fit each other.
    """
    shape, values = tensor.shape, tensor.values
    if shape is UNSET or values is UNSET:
        missing = "shape" if shape is UNSET else "values"
        raise refused(f"data.tensor has no {missing}: it has a shape and values")
    size = 1
    for length in shape:
        if length < 0:
            raise refused(f"data.tensor.shape has {length}: a length is not below 0")
        size *= length
    if size != len(values):
        raise refused(
            f"data.tensor: a shape of {shape} holds {size} values, and there are {len(values)}"
        )
    return shape, values

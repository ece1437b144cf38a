"""SeldonMessage as JSON: what is in one, and one of what a class returned. Used by component.py.

Numbers keep their kind: what came as whole numbers is an array of integers.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import field
from typing import Any, Final

from model_runtime.older import dataclass
from model_runtime.outputs import OutputError, render
from model_runtime.refusals import fault
from model_runtime.values import plain

PAYLOADS: Final = ("data", "jsonData", "strData", "binData")
"""What a message may hold; one of them counts where there are several, in this order."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a message gives its class: the data, the names of its columns, and meta."""

    data: Any
    names: list[Any] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a class returned, and what it says beside: tags and metrics."""

    data: Any
    tags: dict[str, Any] = field(default_factory=dict)
    metrics: list[Any] = field(default_factory=list)


def parts_of(message: Any) -> Parts:
    """Return what a message holds.

    Raises:
        InputError: it is no message.
    """
    if not isinstance(message, dict):
        raise fault("a message is an object", "object")
    meta = message.get("meta") or {}
    if "data" in message:
        data = message["data"]
        return Parts(array_of(data), names_of(data), meta)
    for kind in PAYLOADS[1:3]:
        if kind in message:
            return Parts(message[kind], meta=meta)
    if "binData" in message:
        return Parts(_bytes_of(message["binData"]), meta=meta)
    raise fault("a message has data, jsonData, strData or binData", "payload")


def names_of(data: Any) -> list[Any]:
    """Return the names of the columns of a message's data."""
    return (data.get("names") or []) if isinstance(data, dict) else []


def array_of(data: Any) -> Any:
    """Return the array that a message's data holds.

    Raises:
        InputError: it holds none, or its values do not fill its shape.
    """
    import numpy as np  # noqa: PLC0415  (only these classes need it)

    try:
        if "tensor" in data:
            return np.array(data["tensor"]["values"]).reshape(data["tensor"].get("shape", -1))
        if "ndarray" in data:
            return np.array(data["ndarray"])
    except (ValueError, TypeError, KeyError) as error:
        kind = "tensor" if "tensor" in data else "ndarray"
        raise fault(f"{error}", "shape", ("data", kind)) from None
    return np.array([])


def _bytes_of(text: Any) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError, TypeError) as error:
        raise fault(f"wanted base64: {error}", "base64", ("binData",)) from None


def payload_of(
    data: Any, request: dict[str, Any], class_names: Callable[[Any], Any]
) -> dict[str, Any]:
    """Return what a class returned as a message without its meta.

    Numbers are told in the form of the request (a tensor where that has no array), texts as
    `ndarray`; a dict, bytes or a text as jsonData, binData or strData.

    Raises:
        OutputError: it is nothing that a message can hold.
    """
    import numpy as np  # noqa: PLC0415  (as above)

    if isinstance(data, dict):
        return {"jsonData": data}
    if isinstance(data, (bytes, bytearray)):
        return {"binData": base64.b64encode(data).decode()}
    if isinstance(data, str):
        return {"strData": data}
    if not isinstance(data, (list, np.ndarray)):
        raise OutputError(
            f"it returned a value of type {type(data).__name__}: "
            "a Seldon class returns an array, a list, a dict, a text or bytes"
        )
    array = data if isinstance(data, np.ndarray) else np.array(data)
    given = request.get("data")
    is_tensor = np.issubdtype(array.dtype, np.number) and (
        not isinstance(given, dict) or "tensor" in given
    )
    names = class_names(array)
    if is_tensor:
        tensor = {"shape": list(array.shape), "values": array.ravel().tolist()}
        return {"data": {"names": names, "tensor": tensor}}
    listed = data if isinstance(data, list) else data.tolist()
    return {"data": {"names": names, "ndarray": listed}}


def meta_of(request: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Return the meta of an answer: what the request's says, and what the class adds."""
    given = request.get("meta") or {}
    meta: dict[str, Any] = {}
    if metrics := [*(given.get("metrics") or ()), *answer.metrics]:
        meta["metrics"] = metrics
    if tags := {**(given.get("tags") or {}), **answer.tags}:
        meta["tags"] = tags
    for name in ("puid", "requestPath"):
        if given.get(name):
            meta[name] = given[name]
    return meta


def encoded(message: dict[str, Any]) -> bytes:
    """Return the text of a message, its members in the order of their names.

    Raises:
        OutputError: JSON cannot say it.
    """
    try:
        return _dump(message).encode()
    except (ValueError, TypeError, RecursionError):
        # NaN, names that are no texts and the like: as of any model's output.
        return render([message], 1)[0]


_dump: Final = json.JSONEncoder(
    sort_keys=True, allow_nan=False, separators=(",", ":"), default=plain
).encode

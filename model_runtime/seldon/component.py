"""An instance of a class that is written for Seldon Core: every call of it. Used by loaders/seldon.

Its methods are optional; what it lacks is answered as Seldon Core's own wrapper does.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from model_runtime.outputs import OutputError
from model_runtime.refusals import InputError, fault
from model_runtime.seldon.messages import (
    PAYLOADS,
    Answer,
    Parts,
    array_of,
    encoded,
    meta_of,
    names_of,
    parts_of,
    payload_of,
)
from model_runtime.seldon.shape import parameters_of

Message = dict[str, Any]

VERB: Final = "seldon"
"""The member of an input that says what is asked for, where that is no prediction."""

_NOT_IMPLEMENTED: Final = "SeldonNotImplementedError"
_METRICS: Final = ("COUNTER", "GAUGE", "TIMER")


class Component:
    """One instance. `answer` has the outcome of each kind of request as a JSON text."""

    def __init__(self, instance: Any) -> None:
        self._instance = instance
        self._call = _by_arity(getattr(instance, "predict", None))
        self._has_raw = self._has("predict_raw")
        self._verbs: dict[str, Callable[[Message], Message]] = {
            "transform-input": lambda message: self._transform("transform_input", message),
            "transform-output": lambda message: self._transform("transform_output", message),
            "send-feedback": self._feedback,
            "health": self._health,
            "metadata": self._metadata,
        }

    def answer(self, value: Any) -> bytes:
        """Return the text of the answer to one input.

        Raises:
            InputError: it is none that the class takes.
            Exception: whatever the class raises.
        """
        is_other = isinstance(value, dict) and VERB in value
        if not is_other and not (
            isinstance(value, dict) and any(map(value.__contains__, PAYLOADS))
        ):
            return encoded(self._bare(value))
        try:
            return encoded(self._other(value) if is_other else self._predict(value))
        except (InputError, OutputError):
            raise
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            return encoded(refusal)

    def _has(self, name: str) -> bool:
        return callable(getattr(self._instance, name, None))

    def _ask(self, name: str, *given: Any) -> Any:
        """Call a method that may be missing, or there without being implemented: None then."""
        if not self._has(name):
            return None
        try:
            return getattr(self._instance, name)(*given)
        except Exception as error:
            if type(error).__name__ == _NOT_IMPLEMENTED:
                return None
            raise

    # --- predictions ---

    def _predict(self, message: Message) -> Message:
        if self._has_raw:
            response = self._ask("predict_raw", message)
            if response is not None:
                return _message_of(response)
        parts = parts_of(message)
        returned = [] if self._call is None else self._implemented(self._call, parts)
        return self._response(message, returned)

    def _implemented(self, call: Callable[[Parts], Any], parts: Parts) -> Any:
        try:
            return call(parts)
        except Exception as error:
            if type(error).__name__ == _NOT_IMPLEMENTED:
                return []
            raise

    def _response(self, request: Message, returned: Any) -> Message:
        """Return the message of what a method returned."""
        answer = self._told(returned)
        payload = payload_of(answer.data, request, self._class_names)
        return {**payload, "meta": meta_of(request, answer)}

    def _told(self, returned: Any) -> Answer:
        """Return what a method returned with the tags and the metrics that the class has now.

        Raises:
            OutputError: its metrics are none.
        """
        data, tags, metrics = returned, {}, []
        if type(returned).__name__ == "SeldonResponse":
            data, tags, metrics = returned.data, returned.tags, returned.metrics
        own = [*(self._ask("metrics") or []), *metrics]
        for each in own:
            if not _is_metric(each):
                raise OutputError(f"a metric has a key, a number as value and a type: {each!r:.80}")
        return Answer(data=data, tags={**(self._ask("tags") or {}), **tags}, metrics=own)

    def _class_names(self, array: Any) -> Any:
        """Return the names of an answer's columns, where it has columns."""
        if array.ndim < 2:
            return []
        named = getattr(self._instance, "class_names", None)
        names = self._ask("class_names") if callable(named) else named
        return [f"t:{at}" for at in range(array.shape[1])] if names is None else list(names)

    def _bare(self, value: Any) -> Any:
        """Answer an input that is no message: what it stands for, and of the answer what counts."""
        is_row = isinstance(value, list) and not any(isinstance(each, list) for each in value)
        is_one = is_row or not isinstance(value, (list, dict, str))
        if isinstance(value, dict):
            message: Message = {"jsonData": value}
        elif isinstance(value, str):
            message = {"strData": value}
        else:
            message = {"data": {"ndarray": [value] if is_one else value}}
        response = self._predict(message)
        if "status" in response:
            return response
        data = response.get("data")
        if not isinstance(data, dict):
            return next((response[name] for name in PAYLOADS[1:] if name in response), None)
        listed = data["ndarray"] if "ndarray" in data else array_of(data).tolist()
        return listed[0] if is_one and isinstance(listed, list) and len(listed) == 1 else listed

    # --- what is no prediction ---

    def _other(self, value: Message) -> Message:
        verb, message = value[VERB], value.get("message") or {}
        answer = self._verbs.get(verb)
        if answer is None:
            raise fault(f"there is no {verb!r:.40}", "verb", (VERB,))
        return answer(message)

    def _transform(self, method: str, message: Message) -> Message:
        response = self._ask(f"{method}_raw", message)
        if response is not None:
            return _message_of(response)
        parts = parts_of(message)
        returned = parts.data
        if self._has(method):
            call = _by_arity(getattr(self._instance, method))
            returned = parts.data if call is None else self._implemented(call, parts)
        return self._response(message, returned)

    def _feedback(self, feedback: Message) -> Message:
        response = self._ask("send_feedback_raw", feedback)
        if response is not None:
            return _message_of(response)
        request, truth = feedback.get("request") or {}, feedback.get("truth") or {}
        data = request.get("data") or {}
        returned = None
        if self._has("send_feedback"):
            method = self._instance.send_feedback
            given = (array_of(data), names_of(data), float(feedback.get("reward") or 0))
            routing = ((feedback.get("response") or {}).get("meta") or {}).get("routing") or {}
            route = next(iter(routing.values()), None)
            returned = method(*given, array_of(truth.get("data") or {}), routing=route)
        if returned is None:
            # Nothing, in the form of the request, says that feedback was taken.
            tensor: Message = {"tensor": {"shape": [0]}}
            nothing = {"ndarray": []} if "ndarray" in data else tensor
            return {"data": nothing, "meta": meta_of({}, self._told([]))}
        return self._response({**request, "meta": {}}, returned)

    def _health(self, _message: Message) -> Message:
        response = self._ask("health_status_raw")
        if response is not None:
            return _message_of(response)
        status = self._ask("health_status") if self._has("health_status") else "healthy"
        said = "not implemented - assuming healthy" if status is None else status
        return self._response({}, said)

    def _metadata(self, given: Message) -> Message:
        """Return what the class says of itself over what servd knows of it."""
        own = self._ask("init_metadata")
        return {**given, **(own if isinstance(own, dict) else {})}


def _by_arity(call: Any) -> Callable[[Parts], Any] | None:
    """Return how a method is called that takes the data, and names and meta where it does.

    Raises:
        OutputError: it cannot take the data.
    """
    if not callable(call):
        return None
    parameters = parameters_of(call)
    if parameters is None:
        return lambda parts: call(parts.data, parts.names)
    kinds = [each.kind for each in parameters]
    listed = [each for each in parameters if each.kind in _POSITIONAL]
    has_rest = inspect.Parameter.VAR_POSITIONAL in kinds
    by_name = {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    takes_meta = inspect.Parameter.VAR_KEYWORD in kinds or "meta" in by_name
    meta_at = next((at for at, each in enumerate(listed) if each.name == "meta"), None)
    count = 3 if has_rest and not takes_meta else min(len(listed), 3)
    if meta_at == 1:
        return lambda parts: call(parts.data, parts.meta)
    if takes_meta and count >= 1:
        return _with_meta(call, 2 if has_rest else min(count, 2))
    return {
        0: None,
        1: lambda parts: call(parts.data),
        2: lambda parts: call(parts.data, parts.names),
        3: lambda parts: call(parts.data, parts.names, parts.meta),
    }[count]


def _with_meta(call: Callable[..., Any], count: int) -> Callable[[Parts], Any]:
    if count == 1:
        return lambda parts: call(parts.data, meta=parts.meta)
    return lambda parts: call(parts.data, parts.names, meta=parts.meta)


def _message_of(response: Any) -> Message:
    """Return a raw method's answer as JSON's terms: it may be a message of protobuf.

    Raises:
        OutputError: it is no message.
    """
    if isinstance(response, dict):
        return response
    if hasattr(response, "DESCRIPTOR"):
        # Whoever returns one has it.
        to_dict = importlib.import_module("google.protobuf.json_format").MessageToDict
        found: Message = to_dict(response)
        return found
    raise OutputError(f"it returned a value of type {type(response).__name__}, and no message")


def refusal_of(error: Exception) -> Message | None:
    """Return the message that says what Seldon's own exception says; None for any other."""
    status, reason = getattr(error, "status_code", None), getattr(error, "reason", None)
    message = getattr(error, "message", None)
    if not isinstance(status, int) or not isinstance(reason, str) or not isinstance(message, str):
        return None
    return {
        "status": {"code": -1, "info": message, "reason": reason, "status": 1},
        HTTP_STATUS: status,
    }


HTTP_STATUS: Final = "httpStatus"
"""The member of a refusal that is not told: the status of the answer that tells it."""


def _is_metric(metric: Any) -> bool:
    if not isinstance(metric, Mapping):
        return False
    value = metric.get("value")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and "key" in metric and metric.get("type", "COUNTER") in _METRICS


_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)

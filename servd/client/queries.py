"""A query from its input to its prediction, without a connection: what is sent, what an answer
means, what is sent again. Used by client.py and async_client.py, which have the connections.

A query is asked by a generator (`asking`) that yields what is to be done, gets what came of it, and
returns what the answer says: whoever drives it may block or not.

What is sent again: a query that did not reach the daemon, or whose connection was lost before the
first byte of its answer. It may be computed twice then, as the daemon itself asks another replica
where one died (docs/adr/0030). What was refused is not sent again: it was refused because there
was too much.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from servd.client.calls import segment
from servd.client.exchange import Answer, LostError, Request
from servd.client.failures import (
    BatchFailedError,
    OverloadedError,
    QueryError,
    ThrottledError,
    error_for,
    error_of,
    is_overload,
)
from servd.client.throttle import Throttle
from servd.client.values import Prediction
from servd.errors import InvalidValueError

EVENTS: Final = "text/event-stream"
UNAVAILABLE: Final = 503
_FIRST_WAIT_S: Final = 0.05
_HIT: Final = "hit"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and give back its answer, or raise in the generator what became of it."""

    request: Request


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so long before going on."""

    seconds: float


Steps = Generator[Send | Wait, Answer | None, T]
"""What a query does: yields steps, is sent answers (None after a wait), returns what they say."""


class Queries:
    """What all queries of a client have in common. `retries` of what was lost, at most."""

    def __init__(self, retries: int = 2, throttle: Callable[[], Throttle] = Throttle) -> None:
        self._retries = retries
        self._throttles: defaultdict[str, Throttle] = defaultdict(throttle)

    def predict(self, app: str, given: Any, version: str | None) -> Steps[Prediction]:
        """Ask for one prediction."""
        request = Request("POST", _target(app, "predict"), *_body("input", given, version))
        answer = yield from self.asking(app, request)
        return prediction_of(answer)

    def predict_batch(self, app: str, inputs: Any, version: str | None) -> Steps[list[Prediction]]:
        """Ask for the predictions of several inputs."""
        rows = plain(inputs)
        if not isinstance(rows, (list, dict)):
            raise InvalidValueError(
                f"a batch is a list of inputs, or columns of them, not {type(inputs).__name__}"
            )
        if not rows:
            return []
        request = Request("POST", _target(app, "predict"), *_body("input_batch", rows, version))
        answer = yield from self.asking(app, request)
        return predictions_of(app, answer)

    def asking(self, app: str, request: Request) -> Steps[Answer]:
        """Send a request for an application and return its good answer.

        Raises:
            ThrottledError: it was not sent.
            QueryError: it was answered with an error.
            LostError: no answer came, as often as it was sent.
        """
        throttle = self.admit(app)
        answer = yield from self.sending(request)
        self.note(throttle, answer)
        if answer.status >= 400:
            raise error_of(app, answer)
        return answer

    def admit(self, app: str) -> Throttle:
        """Return the throttle of an application, which lets this query pass.

        Raises:
            ThrottledError: it does not.
        """
        throttle = self._throttles[app]
        if throttle.is_refused():
            raise ThrottledError(app, throttle.requests, throttle.accepts)
        return throttle

    def note(self, throttle: Throttle, answer: Answer) -> None:
        """Count an answer."""
        is_refusal = answer.status == UNAVAILABLE and isinstance(
            error_of("", answer), OverloadedError
        )
        throttle.on_answer(is_accepted=not is_refusal)

    def sending(self, request: Request) -> Steps[Answer]:
        """Send a request until there is an answer, of whatever status."""
        tries = 0
        while True:
            try:
                answer = yield Send(request)
            except LostError as error:
                if error.is_begun or tries == self._retries:
                    raise
                tries += 1
                yield Wait(_FIRST_WAIT_S * (2 ** (tries - 1)))
                continue
            assert answer is not None  # noqa: S101 - a sent request gets an answer or raises
            return answer


def _target(app: str, verb: str) -> str:
    return f"/{segment(app)}/{verb}"


def stream_request(app: str, given: Any, version: str | None) -> Request:
    """Return the query whose answer comes as events."""
    body, kind = _body("input", given, version)
    headers = (("Accept", EVENTS),)
    return Request("POST", _target(app, "predict") + "?stream=1", body, kind, headers)


def _body(member: str, given: Any, version: str | None) -> tuple[bytes, str]:
    """Return the body of a query and what it is."""
    content: dict[str, Any] = {member: plain(given)}
    if version is not None:
        content["version"] = str(version)
    try:
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"the input cannot be sent as JSON: {error}") from error
    return text.encode("utf-8", "surrogatepass"), "application/json"


def plain(value: Any) -> Any:
    """Return a value as JSON says it: bytes as base64, arrays and tables as lists."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if callable(make := getattr(value, "tolist", None)):  # arrays, and numbers of arrays; series
        return plain(make())
    if callable(make := getattr(value, "to_dict", None)):  # a table: its columns
        return plain(make("list"))
    if callable(make := getattr(value, "isoformat", None)):
        return make()
    return value


def prediction_of(answer: Answer) -> Prediction:
    """Return the prediction that an answer has."""
    content = _json(answer)
    if "output" not in content:
        raise _no_prediction(answer)
    return _prediction(content, is_cached=answer.headers.get("cache") == _HIT)


def predictions_of(app: str, answer: Answer) -> list[Prediction]:
    """Return the predictions that an answer has.

    Raises:
        BatchFailedError: some inputs have none.
    """
    content = _json(answer)
    if "batch_predictions" not in content:
        return [prediction_of(answer)]
    results: list[Prediction | QueryError] = [
        error_for(app, _part(each), each) if "error" in each else _prediction(each)
        for each in content["batch_predictions"]
    ]
    predictions = [each for each in results if isinstance(each, Prediction)]
    if len(predictions) < len(results):
        raise BatchFailedError(results)
    return predictions


def _part(problem: dict[str, Any]) -> Answer:
    """Return the answer that a part of a batch would be by itself."""
    kinds = {"Invalid input": 422}
    status = kinds.get(str(problem["error"]), 503 if is_overload(problem) else 500)
    return Answer(status)


def _json(answer: Answer) -> dict[str, Any]:
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _no_prediction(answer)
    return content


def _no_prediction(answer: Answer) -> QueryError:
    """Return the error for what is said by somebody else, as a web application."""
    shown = answer.body[:80].decode("utf-8", "replace")
    return error_for("", answer, {"error": f"what was answered is no prediction: {shown}"})


def _prediction(content: dict[str, Any], *, is_cached: bool = False) -> Prediction:
    return Prediction(
        output=content.get("output"),
        is_default=bool(content.get("default")),
        explanation=str(content.get("default_explanation", "")),
        query_id=content.get("query_id"),
        is_cached=is_cached,
    )

"""What a query can be answered with that is no prediction, by name. Raised by the clients.

All are `QueryError`: with the `status` of the answer, the `detail` that says what is wrong at which
place of the input, and the `query_id` under which the daemon's log has it.
"""

import json
from typing import Any, Final

from servd.client.exchange import Answer
from servd.client.values import Prediction
from servd.errors import ServdError

_OVERLOADED: Final = ("Too many queries", "Too many connections")
"""How the daemon refuses what it has no room for."""


class QueryError(ServdError):
    """A query that was answered with an error, whose words are the message."""

    code = "query_refused"

    def __init__(self, app: str, answer: Answer, problem: dict[str, Any]) -> None:
        # The hint says in fewer words what the schema after the cause says.
        cause = str(problem.get("cause", "")).partition(" Expected JSON schema")[0]
        message = f"{problem['error']}: {cause}".rstrip(": \n")
        super().__init__(message, hint=str(problem.get("hint", "")))
        self.app = app
        self.status = answer.status
        self.cause = cause
        self.detail: list[dict[str, Any]] = problem.get("detail") or []
        self.query_id: int | None = problem.get("query_id")
        retry_after = answer.headers.get("retry-after", "")
        self.retry_after_s = float(retry_after) if retry_after.isdigit() else None


class InvalidInputError(QueryError):
    """400 or 422: the input is not what the application takes."""


class UnknownApplicationError(QueryError):
    """404: there is no application of that name."""


class UnauthorizedError(QueryError):
    """401: the token is missing or wrong."""


class UnavailableError(QueryError):
    """503: no model is linked, none of its replicas is up, or it is still loading."""


class OverloadedError(UnavailableError):
    """503: more queries came than it can answer in time."""


class PredictionLateError(QueryError):
    """504: the model has no output within the objective, and the application no default."""


class ModelFailedError(QueryError):
    """500: the model raised, or gave no output; its log has the traceback."""


class ThrottledError(ServdError):
    """A query that was not sent, as the daemon refuses more than half of what it gets."""

    code = "throttled"
    status = 503

    def __init__(self, app: str, requests: int, accepts: int) -> None:
        super().__init__(
            f"not sent: {requests - accepts} of the last {requests} queries to {app} were refused, "
            "as the daemon has no room for so many",
            hint="send fewer, or give it more replicas: servd scale MODEL N",
        )
        self.app = app


class BatchFailedError(ServdError):
    """Some inputs of a batch have no prediction. `results` has, in their order, a Prediction or the
    QueryError of each.
    """

    code = "query_refused"

    def __init__(self, results: list[Prediction | QueryError]) -> None:
        failed = [(at, each) for at, each in enumerate(results) if isinstance(each, QueryError)]
        at, first = failed[0]
        super().__init__(
            f"{len(failed)} of {len(results)} inputs have no prediction; input {at}: "
            f"{first.message}",
            hint="`results` of this error has the predictions of the others",
        )
        self.results = results
        self.status = first.status


_CLASSES: Final = {
    400: InvalidInputError,
    401: UnauthorizedError,
    404: UnknownApplicationError,
    422: InvalidInputError,
    500: ModelFailedError,
    503: UnavailableError,
    504: PredictionLateError,
}


def error_of(app: str, answer: Answer) -> QueryError:
    """Return the error that an answer is."""
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("error"), str):
        text = answer.body.decode("utf-8", "replace").rstrip("\n")
        problem = {"error": f"the query was answered with {answer.status}: {text}"}
    return error_for(app, answer, problem)


def error_for(app: str, answer: Answer, problem: dict[str, Any]) -> QueryError:
    """Return the error that an error object of an answer is."""
    kind = _CLASSES.get(answer.status, QueryError)
    if kind is UnavailableError and is_overload(problem):
        kind = OverloadedError
    return kind(app, answer, problem)


def is_overload(problem: dict[str, Any]) -> bool:
    """Tell whether an error object says that there is no room for the query."""
    said = f"{problem.get('error', '')} {problem.get('cause', '')}"
    return any(words in said for words in _OVERLOADED)

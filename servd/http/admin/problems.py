"""Errors to HTTP answers, and request bodies to values. Used by every handler of the admin server.

`/admin/*` answers plain text as Clipper does, everything else `{"error": {...}}`.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from servd.errors import OF_THE_MACHINE, MachineError, ServdError
from servd.logs import faults

_Body = TypeVar("_Body")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY_TIMEOUT_S: Final = 30.0
"""How long a client may take to send its JSON."""

_LONGEST_DETAIL: Final = 300


QUERY_URL: Final = web.AppKey("query_url", str)
"""Where the application's daemon answers queries."""


class RequestRefusedError(ServdError):
    """A request that is refused for what it is as HTTP, before it is looked at."""

    code = "request_refused"
    status = 400

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class MalformedBodyError(ServdError):
    """A body that is not the JSON that the call takes."""

    code = "malformed_body"
    status = 400


class InternalError(ServdError):
    """A fault of servd itself; the id finds it in the log."""

    code = "internal"
    status = 500


def problem_of(error: ServdError) -> dict[str, str]:
    """Return the problem object of an error: code, message, hint, traceback."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "traceback": error.traceback,
    }


def unexpected(error: Exception) -> InternalError:
    """Log an unknown exception under a new id and return the error that names only the id."""
    error_id = secrets.token_hex(6)
    faults.report(f"unexpected error {error_id}", error)
    return InternalError(
        f"An unexpected error occurred (id {error_id})",
        hint="servd logs daemon    shows it under that id",
    )


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into an answer; the outermost middleware."""
    try:
        return await handler(request)
    except ServdError as error:
        _check_nothing_sent(request, error)
        return _answer(request, error, {})
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return http_answer(request, error)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary of a request
        problem = _unforeseen(error)
        _check_nothing_sent(request, problem)
        return _answer(request, problem, {})


def _unforeseen(error: Exception) -> ServdError:
    """Return what a handler did not expect: a refusal of the machine, else a fault of servd."""
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        return MachineError(error)
    return unexpected(error)


def _check_nothing_sent(request: web.Request, error: Exception) -> None:
    """Have the connection dropped where a part of an answer was sent: no other can follow it.

    Raises:
        ConnectionError: it was.
    """
    if request.writer.output_size > 0:
        raise ConnectionAbortedError("an answer broke off") from error


async def read_body(request: web.Request) -> bytes:
    """Return the body, however it is labelled.

    Raises:
        RequestRefusedError: it is too large, too slow or cannot be decompressed.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise RequestRefusedError(408, "the body did not arrive in time") from error
    except web.RequestPayloadError as error:
        raise RequestRefusedError(400, f"the body cannot be read: {error}") from error


async def read_struct(request: web.Request, kind: type[_Body]) -> _Body:
    """Return the JSON body as a value of `kind`. An empty body counts as `{}`.

    Raises:
        MalformedBodyError: it is not JSON, or not of that shape; the message says where.
    """
    body = await read_body(request)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBodyError(f"the body is not what this call takes: {error}") from error


def is_asked(request: web.Request, name: str) -> bool:
    """Tell whether a flag stands in the query: `?force`, `?force=true`."""
    return request.query.get(name, "false").lower() in {"", "1", "true", "yes"}


def json_answer(value: Any, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


def http_answer(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return the answer for what aiohttp refuses, in the form that all else has."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return _answer(request, _of_http(request, error), headers)


def broken_answer(status: int, detail: str) -> web.Response:
    """Return the answer to what is not HTTP, after which nothing can be read. Called by aiohttp."""
    said = " ".join(detail.split())[:_LONGEST_DETAIL]
    error = RequestRefusedError(status, f"not HTTP: {said}" if status < 500 else "internal error")
    answer = json_answer({"error": problem_of(error)}, status)
    answer.force_close()
    return answer


def _of_http(request: web.Request, error: web.HTTPException) -> RequestRefusedError:
    if error.status == 404:
        return RequestRefusedError(
            404, f"there is nothing at {request.path[:200]}", hint=_elsewhere(request)
        )
    if error.status == 405:
        return RequestRefusedError(405, f"{request.path[:200]} does not take {request.method}")
    if error.status == 413:
        return RequestRefusedError(413, "the body is too large")
    return RequestRefusedError(error.status, error.reason)


def _elsewhere(request: web.Request) -> str:
    """Return where what was asked for may be: this is the admin port."""
    path = request.path.rstrip("/")
    if path.startswith(("/api/", "/admin/")):
        return "GET /api/v1/openapi.json lists what there is"
    url = request.app.get(QUERY_URL)
    if url and path.endswith(("/predict", "/update")):
        return f"this is the admin port; queries are answered at {url}"
    return ""


def _answer(request: web.Request, error: ServdError, headers: dict[str, str]) -> web.Response:
    if error.status == 401:
        headers = {**headers, "WWW-Authenticate": "Bearer"}
    answer = _text_or_json(request, error)
    answer.headers.update(headers)
    if error.status in {408, 413}:
        # The rest of the body is not waited for.
        answer.force_close()
    return answer


def _text_or_json(request: web.Request, error: ServdError) -> web.Response:
    if request.path == "/admin" or request.path.startswith("/admin/"):
        # Clipper knows one error status; what never reached a call keeps its own.
        is_refused = isinstance(error, RequestRefusedError | InternalError)
        return web.Response(
            text=error.message,
            status=error.status if is_refused else 400,
            content_type="application/json",
        )
    return json_answer({"error": problem_of(error)}, error.status)

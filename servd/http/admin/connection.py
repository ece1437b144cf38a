"""A connection to the admin server: aiohttp's, for clients that close their sending side first.

`nc -N` and others send a request and say at once that it was the last. aiohttp takes that for a
hang-up. Made by admin.py.
"""

from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from servd.http.admin.problems import RequestRefusedError, broken_answer, http_answer
from servd.http.wire import refused_version
from servd.logs import faults

MAX_HEAD_BYTES = 32 * 1024
"""As on the query port; aiohttp bounds each line, not all of them."""

_LINE_EXTRA_BYTES = 4
"""The colon, the space after it, and the line end."""
_END_BYTES = len(b"  HTTP/1.1\r\n\r\n")


class AdminConnection(RequestHandler):
    """`has_ended` says that the client sends nothing more: it waits for answers, or is gone."""

    __slots__ = ("_body", "has_ended")

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.has_ended = False
        self._body: StreamReader | None = None

    def data_received(self, data: bytes) -> None:
        """Take what came, and note the body of the last request: only it may not be whole."""
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's protocols may return one
        """Keep the connection while a request is being handled or waits to be."""
        self.has_ended = True
        if self._body is not None and not self._body.is_eof():
            cut = "the connection was closed before the body was complete"
            self._body.set_exception(web.RequestPayloadError(cut))
        waiter = self._waiter
        is_waiting = waiter is not None and not waiter.done()
        if not self._request_count or is_waiting:
            return False
        self._close_when_answered()
        return True

    def _close_when_answered(self) -> None:
        if self.has_ended and not self._messages:
            self.close()  # behind the request that is being handled, if one is

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what did not get as far as a handler, in the form that all else has."""
        super().handle_error(request, status, exc, message)
        return broken_answer(status, message or "")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; what aiohttp refuses before any handler has its own form (417)."""
        if isinstance(resp, web.HTTPException) and isinstance(request, web.Request):
            resp = resp if resp.status < 400 else http_answer(request, resp)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *_args: Any, **named: Any) -> None:
        """Log what aiohttp could not do, but for requests that are not HTTP or broke off."""
        error = named.get("exc_info")
        theirs = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
        if isinstance(error, Exception) and not isinstance(error, theirs):
            faults.report("a request to the admin server could not be handled", error)

    def log_access(self, request: Any, response: Any, time: float | None) -> None:
        """Close behind the last answer; called after each. Nothing is logged."""
        del request, response, time
        self._close_when_answered()


def has_ended(request: web.Request) -> bool:
    """Tell whether an answer without an end has nobody to read it any more."""
    protocol = request.protocol
    transport = request.transport
    is_closed = transport is None or transport.is_closing()
    return is_closed or (isinstance(protocol, AdminConnection) and protocol.has_ended)


def check_head(request: web.Request) -> None:
    """Refuse a head that is too long, or of a version that is not HTTP/1.0 or 1.1.

    Raises:
        RequestRefusedError: it is.
    """
    version = request.version
    if version not in (HttpVersion10, HttpVersion11):
        raise RequestRefusedError(*refused_version(f"{version.major}.{version.minor}"))
    size = len(request.method) + len(request.raw_path) + _END_BYTES
    size += sum(len(name) + len(value) + _LINE_EXTRA_BYTES for name, value in request.raw_headers)
    if size > MAX_HEAD_BYTES:
        raise RequestRefusedError(431, f"the request's head is longer than {MAX_HEAD_BYTES} bytes")

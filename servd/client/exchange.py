"""One HTTP/1.1 request and its answer, as bytes and nothing else: no socket is touched here.

Used by connections.py, which blocks, and by async_connections.py, which does not.
"""

from dataclasses import dataclass, field
from typing import Final

import httptools

from servd.errors import ServdError

_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE"})


class LostError(ServdError):
    """The connection ended, or never began, before the whole answer was there.

    `is_sent`: something of the request may have arrived. `is_begun`: something of the answer has.
    """

    code = "connection_lost"
    status = 503

    def __init__(self, message: str, *, is_sent: bool, is_begun: bool = False) -> None:
        super().__init__(message, hint="servd status    tells whether the daemon still runs")
        self.is_sent = is_sent
        self.is_begun = is_begun


class LateError(ServdError):
    """Nothing came within the time that the caller has."""

    code = "timed_out"
    status = 504


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: `target` is the path with its query, `body` None for none."""

    method: str
    target: str
    body: bytes | None = None
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def encoded(self, host: str, token: str | None) -> bytes:
        """Return its bytes."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        body = self.body or b""
        if self.body is not None:
            lines.append(f"Content-Type: {self.content_type}")
        if self.body is not None or self.method not in _BODILESS:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "\r\n"]).encode() + body


@dataclass(slots=True)
class Answer:
    """What came back: `headers` have small letters."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def kind(self) -> str:
        """What its body is."""
        return self.headers.get("content-type", "").partition(";")[0].strip()


class Reading:
    """Makes an answer of the bytes that come. `feed` what was read, `take` what there is of it."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.has_head = False
        self.is_whole = False
        self.is_begun = False
        self.is_kept = False
        """Whether the connection can carry another request."""
        self._pieces: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take in what was read; nothing: the other side has closed.

        Raises:
            LostError: the answer is cut off, or is no HTTP.
        """
        if not data:
            raise LostError("the connection was closed", is_sent=True, is_begun=self.is_begun)
        self.is_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise LostError(f"no HTTP came: {error}", is_sent=True, is_begun=True) from error

    def take(self) -> bytes:
        """Return what has come of the body since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    # --- what httptools calls ---

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the head."""
        self.answer.status = self._parser.get_status_code()
        self.is_kept = self._parser.should_keep_alive()
        self.has_head = self.answer.status >= 200

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Take the end; what is said before an answer (1xx) is none."""
        self.is_whole = self.has_head

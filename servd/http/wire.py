"""Bytes of HTTP answers: heads made once a second, bodies pasted. Used by http/query.py."""

from email.utils import formatdate
from http import HTTPStatus

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class Heads:
    """The unchanging part of each answer's head, with the Date that HTTP asks for.

    `ok` ends with `Content-Length: `; the length, an empty line and the body follow.
    """

    __slots__ = ("date", "ok")

    def __init__(self) -> None:
        self.date = b""
        self.ok = b""
        self.refresh()

    def refresh(self) -> None:
        """Take the present second into the Date header; called once a second."""
        self.date = b"Date: %b\r\n" % formatdate(usegmt=True).encode()
        self.ok = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: " % self.date
        )

    def answer(
        self,
        status: int,
        body: bytes,
        *,
        kind: bytes = JSON,
        extra: bytes = b"",
        is_last: bool = False,
    ) -> bytes:
        """Return a whole answer; `extra` holds further header lines, each with its line end."""
        close = b"Connection: close\r\n" if is_last else b""
        length = b"" if status == HTTPStatus.NO_CONTENT else b"Content-Length: %d\r\n" % len(body)
        return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%b%b%b%b\r\n%b" % (
            status,
            HTTPStatus(status).phrase.encode(),
            kind,
            self.date,
            length,
            extra,
            close,
            body,
        )


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

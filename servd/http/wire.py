"""Bytes of HTTP answers: heads made once a second, bodies pasted. Used by http/query.py."""

from email.utils import formatdate
from http import HTTPStatus

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


_KEPT_LENGTHS = 4096


class OkHeads(dict[int, bytes]):
    """The heads of good answers by the length of their bodies, each made when first needed."""

    date = b""

    def __missing__(self, length: int) -> bytes:
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
        ) % (self.date, length)
        if length < _KEPT_LENGTHS:
            self[length] = head
        return head


class Heads:
    """The unchanging part of each answer's head, with the Date that HTTP asks for.

    `ok` maps the length of a body to the head of a good answer with it.
    """

    __slots__ = ("date", "ok")

    def __init__(self) -> None:
        self.date = b""
        self.ok = OkHeads()
        self.refresh()

    def refresh(self) -> None:
        """Take the present second into the Date header; called once a second."""
        self.date = b"Date: %b\r\n" % formatdate(usegmt=True).encode()
        self.ok.clear()
        self.ok.date = self.date

    def answer(
        self,
        status: int,
        body: bytes,
        *,
        kind: bytes = JSON,
        extra: bytes = b"",
        is_last: bool = False,
        length: int | None = None,
    ) -> bytes:
        """Return a whole answer; `extra` holds further header lines, each with its line end.

        `length` is that of a body which is written apart from it.
        """
        close = b"Connection: close\r\n" if is_last else b""
        size = len(body) if length is None else length
        said = b"" if status == HTTPStatus.NO_CONTENT else b"Content-Length: %d\r\n" % size
        return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%b%b%b%b\r\n%b" % (
            status,
            HTTPStatus(status).phrase.encode(),
            kind,
            self.date,
            said,
            extra,
            close,
            body,
        )


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def refused_version(version: str) -> tuple[int, str]:
    """Return the status and the reason for a request of another version than HTTP/1.0 and 1.1."""
    if version == "0.9":  # what llhttp takes a first line without a version for
        return 400, "the request's first line does not end with HTTP/1.1"
    return 505, f"this server speaks HTTP/1.1, not HTTP/{version}"

"""HTTP answers and their bytes: heads made once a second, bodies pasted. Used by http/query."""

import json
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import msgspec

from servd.carriers.long_bytes import Piece

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


_KEPT_LENGTHS = 4096
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)

CACHE_HIT = b"Cache: hit\r\n"
"""The header line of an answer that no model was asked for."""


class Reply(msgspec.Struct, frozen=True):
    """An answer. `kind` is its Content-Type, `extra` holds header lines, each with its line end.

    A body in pieces is not copied. Without `has_body` the head is that of the body, and the body is
    left out (HEAD).
    """

    status: int
    body: bytes | Sequence[Piece] = b""
    kind: bytes = JSON
    extra: bytes = b""
    has_body: bool = True


def error_body(
    error: str,
    cause: str,
    query_id: int | None = None,
    detail: list[dict[str, Any]] | None = None,
) -> bytes:
    """Return the object that says what went wrong: a title, and a sentence that explains it.

    `detail` says it for programs.
    """
    body: dict[str, Any] = {"error": error, "cause": cause}
    if query_id is not None:
        body["query_id"] = query_id
    if detail is not None:
        body["detail"] = detail
    return json.dumps(body).encode()


def error_reply(
    status: int,
    error: str,
    cause: str,
    query_id: int | None = None,
    *,
    extra: bytes = b"",
    detail: list[dict[str, Any]] | None = None,
) -> Reply:
    """Return the answer that says what went wrong."""
    return Reply(status, error_body(error, cause, query_id, detail), extra=extra)


def not_allowed(methods: Sequence[bytes], more: str = "") -> Reply:
    """Return the answer to another method than those that a path takes."""
    allow = b", ".join(methods)
    cause = f"allowed here: {allow.decode()}" + (f"; {more}" if more else "")
    return error_reply(405, "Method not allowed", cause, extra=b"Allow: %b\r\n" % allow)


class OkHeads(dict[int, bytes]):
    """The heads of good answers of a kind by the length of the body, made when first needed."""

    def __init__(self, kind: bytes, extra: bytes) -> None:
        super().__init__()
        self._kind = kind
        self._extra = extra
        self.date = b""

    def __missing__(self, length: int) -> bytes:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b%bContent-Length: %d\r\n\r\n" % (
            self._kind,
            self.date,
            self._extra,
            length,
        )
        if length < _KEPT_LENGTHS:
            self[length] = head
        return head


class Heads:
    """The unchanging part of each answer's head, with the Date that HTTP asks for.

    `lines` are header lines that every answer has.
    """

    __slots__ = ("_lines", "_ok", "date")

    def __init__(self, lines: bytes = b"") -> None:
        self._lines = lines
        self.date = b""
        self._ok: dict[tuple[bytes, bytes], OkHeads] = {}
        self.refresh()

    def ok(self, kind: bytes, extra: bytes = b"") -> OkHeads:
        """Return the heads of good answers of a kind, with further header lines: one of few."""
        heads = self._ok.get((kind, extra))
        if heads is None:
            heads = self._ok[kind, extra] = OkHeads(kind, self._lines + extra)
            heads.date = self.date
        return heads

    def refresh(self) -> None:
        """Take the present second into the Date header; called once a second."""
        self.date = b"Date: %b\r\n" % formatdate(usegmt=True).encode()
        for heads in self._ok.values():
            heads.clear()
            heads.date = self.date

    def unsized(self, kind: bytes, extra: bytes, *, is_last: bool) -> bytes:
        """Return the head of a good answer whose length nobody knows yet."""
        close = b"Connection: close\r\n" if is_last else b""
        return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b%b%b%b\r\n" % (
            kind,
            self.date,
            self._lines,
            extra,
            close,
        )

    def answer(self, reply: Reply, *, is_last: bool = False) -> bytes:
        """Return a reply's head, and its body where that is in one piece and to be sent."""
        body = reply.body
        close = b"Connection: close\r\n" if is_last else b""
        size = len(body) if isinstance(body, bytes) else sum(map(len, body))
        has_length = reply.status not in _BODILESS
        wait = b"Retry-After: 1\r\n" if reply.status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%b%b%b%b%b%b\r\n%b" % (
            reply.status,
            HTTPStatus(reply.status).phrase.encode(),
            reply.kind,
            self.date,
            self._lines,
            b"Content-Length: %d\r\n" % size if has_length else b"",
            reply.extra,
            wait,
            close,
            body if isinstance(body, bytes) and reply.has_body else b"",
        )


TOO_MANY_CONNECTIONS = error_reply(
    503, "Too many connections", "this server has no descriptor left for it"
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def refused_version(version: str) -> tuple[int, str]:
    """Return the status and the reason for a request of another version than HTTP/1.0 and 1.1."""
    if version == "0.9":  # what llhttp takes a first line without a version for
        return 400, "the request's first line does not end with HTTP/1.1"
    return 505, f"this server speaks HTTP/1.1, not HTTP/{version}"

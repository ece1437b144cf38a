"""Unpacks gzip and deflate request bodies under limits. Used by query.py and body_reader.py."""

import zlib
from collections.abc import Iterator
from typing import Any, Final

from servd.http.bounds import Bounds

_GZIP: Final = b"\x1f\x8b"
_FEW_MEMBERS: Final = 8
"""So many members of a body may be unpacked on the event loop."""

_FIRST_PACKED_BYTES: Final = 256
_PACKED_PIECE_BYTES: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 20
_RATIO_FROM_BYTES: Final = 1 << 20
"""Below this no ratio is too high: a short body of one digit packs a thousand to one."""


class BodyError(Exception):
    """A packed body that is refused; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def inflate_short(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Return the unpacked body; None where it is more work than the event loop has time for.

    That is one that is longer than `limit`, or that has many members; it was not unpacked then.

    Raises:
        BodyError: 415 for another encoding, 400 for a broken body.
    """
    members: list[bytes] = []
    rest, left = body, limit
    while rest or not members:
        if len(members) == _FEW_MEMBERS:
            return None
        unpacker = _unpacker(rest[:2], encoding, is_first=not members)
        data = _inflate(unpacker, rest, encoding, left + 1)
        if len(data) > left:
            return None
        if not unpacker.eof:
            raise _cut_off(encoding)
        members.append(data)
        left -= len(data)
        rest = unpacker.unused_data
    return members[0] if len(members) == 1 else b"".join(members)


def unpack(body: memoryview, encoding: str, bounds: Bounds) -> Iterator[bytes]:
    """Yield the unpacked body piece by piece; no more is unpacked than the bounds allow.

    Raises:
        BodyError: 415 for another encoding, 400 for a broken body, 413 for one that unpacks to
            more than is taken, all its members together.
    """
    size = at = 0
    while at < len(body) or not at:
        member = _Member(body, at, encoding)
        for piece in member:
            size += len(piece)
            _check(size, len(body), bounds)
            if piece:
                yield piece
        at = member.end


class _Member:
    """One member of a packed body, from `at` on; iterating unpacks it, `end` is where it ended.

    RFC 1952 §2.2: gzip data is a series of members, one behind the other.
    """

    def __init__(self, body: memoryview, at: int, encoding: str) -> None:
        self._body = body
        self._encoding = encoding
        self._unpacker = _unpacker(bytes(body[at : at + 2]), encoding, is_first=not at)
        self.end = at

    def __iter__(self) -> Iterator[bytes]:
        unpacker = self._unpacker
        # What is behind the member's end is copied. So little is fed at first, as many members are
        # short; else a body of many short ones would take time in the square of their number.
        step = _FIRST_PACKED_BYTES
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail
            if not packed:
                packed = self._body[self.end : self.end + step]
                self.end += len(packed)
                step = min(2 * step, _PACKED_PIECE_BYTES)
            piece = _inflate(unpacker, packed, self._encoding, _PIECE_BYTES)
            if not piece and not packed:
                raise _cut_off(self._encoding)
            yield piece
        self.end -= len(unpacker.unused_data)


def _check(size: int, packed_size: int, bounds: Bounds) -> None:
    if size > bounds.max_body_bytes:
        raise BodyError(
            413,
            f"the body unpacks to more than {bounds.max_body_bytes} bytes: "
            "send less at a time, or raise the server's --max-body",
        )
    if size > _RATIO_FROM_BYTES and size > bounds.max_ratio * packed_size:
        raise BodyError(
            413,
            f"the body unpacks to more than {bounds.max_ratio} times its size: "
            "send it unpacked, or raise the server's --max-ratio",
        )


def _unpacker(begin: bytes, encoding: str, *, is_first: bool) -> Any:
    """Return what unpacks the member whose first two bytes are given."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BodyError(415, f"Content-Encoding {encoding} is not known: gzip, deflate")
    if not is_first and (encoding == "deflate" or not _GZIP.startswith(begin)):
        raise BodyError(400, f"the {encoding} body has ended, and something else follows in it")
    # 32 tells zlib to take both the gzip and the zlib header; raw deflate, which some clients
    # send as "deflate", has neither.
    has_header = encoding != "deflate" or begin[:1] == b"\x78"
    return zlib.decompressobj(47 if has_header else -15)


def _inflate(unpacker: Any, packed: bytes | memoryview, encoding: str, limit: int) -> bytes:
    try:
        data: bytes = unpacker.decompress(packed, limit)
    except zlib.error as error:
        raise BodyError(400, f"the body is not {encoding}: {error}") from None
    return data


def _cut_off(encoding: str) -> BodyError:
    return BodyError(400, f"the {encoding} body ends too early")

"""Unpacks gzip and deflate request bodies under limits. Used by query.py and body_reader.py."""

import zlib
from collections.abc import Iterator
from typing import Any, Final

from servd.http.bounds import Bounds

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
    """Return the unpacked body; None where that is longer than `limit` and was not unpacked.

    Raises:
        BodyError: 415 for another encoding, 400 for a broken body.
    """
    unpacker = _unpacker(body[:1], encoding)
    try:
        data: bytes = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise BodyError(400, f"the body is not {encoding}: {error}") from None
    if len(data) > limit:
        return None
    if not unpacker.eof:
        raise BodyError(400, f"the {encoding} body ends too early")
    return data


def unpack(body: memoryview, encoding: str, bounds: Bounds) -> Iterator[bytes]:
    """Yield the unpacked body piece by piece; no more is unpacked than the bounds allow.

    Raises:
        BodyError: 415 for another encoding, 400 for a broken body, 413 for one that unpacks to
            more than is taken.
    """
    unpacker = _unpacker(bytes(body[:1]), encoding)
    size = at = 0
    while not unpacker.eof:
        packed = unpacker.unconsumed_tail
        if not packed:
            packed = body[at : at + _PACKED_PIECE_BYTES]
            at += len(packed)
        try:
            piece = unpacker.decompress(packed, _PIECE_BYTES)
        except zlib.error as error:
            raise BodyError(400, f"the body is not {encoding}: {error}") from None
        if not piece and not packed:
            raise BodyError(400, f"the {encoding} body ends too early")
        size += len(piece)
        _check(size, len(body), bounds)
        yield piece


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


def _unpacker(first: bytes, encoding: str) -> Any:
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BodyError(415, f"Content-Encoding {encoding} is not known: gzip, deflate")
    # 32 tells zlib to take both the gzip and the zlib header; raw deflate, which some clients
    # send as "deflate", has neither.
    has_header = encoding != "deflate" or first == b"\x78"
    return zlib.decompressobj(47 if has_header else -15)

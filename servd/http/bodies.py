"""Unpacks gzip and deflate request bodies under a size limit. Used by http/query.py."""

import zlib


class BodyError(Exception):
    """A packed body that is refused; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return the unpacked body.

    Raises:
        BodyError: 415 for another encoding, 400 for a broken body, 413 for one that unpacks to
            more than `limit` bytes; it is never unpacked beyond that.
    """
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        raise BodyError(
            415, f"Content-Encoding {encoding.decode('latin-1')} is not known: gzip, deflate"
        )
    # 32 tells zlib to take both the gzip and the zlib header; raw deflate, which some clients
    # send as "deflate", has neither.
    has_header = encoding != b"deflate" or body[:1] == b"\x78"
    unpacker = zlib.decompressobj(47 if has_header else -15)
    try:
        data = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise BodyError(400, f"the body is not {encoding.decode()}: {error}") from None
    if len(data) > limit:
        raise BodyError(413, f"the body unpacks to more than {limit} bytes")
    if not unpacker.eof:
        raise BodyError(400, f"the {encoding.decode()} body ends too early")
    return data

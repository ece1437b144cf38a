"""multipart/form-data (RFC 7578) to its parts, a piece at a time. Used by clipper_files.py.

The parser is strict and has limits; what it refuses is said in words for whoever wrote the form.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import multipart

from servd.http.codecs.base import BesideError, RequestError

PIECE_BYTES: Final = 1 << 18
MAX_HEADER_BYTES: Final = 2048
"""Of a part's header: a name, and the name of a file."""

MAX_PARTS_AT_ONCE: Final = 16
"""A short form of no more parts, with heads as they usually are, is read on the event loop."""

MAX_OTHERS: Final = 2048
"""So many parts may be no files."""

_MAX_HEADERS: Final = 8
_USUAL_HEADER_BYTES: Final = 512
_USUAL_HEADERS: Final = 4
_LONGEST_TYPE: Final = 400
_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1"})
_AS_IT_IS: Final = frozenset({"", "7bit", "8bit", "binary"})
_MOST: Final = "Maximum segment count"


class Part(NamedTuple):
    """The head of a part. A file has a `filename`; without one it is a text in `charset`."""

    name: str
    filename: str | None
    charset: str

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.filename is not None


class Form:
    """A form that is read: iterating gives the parts; `pieces` is what is in the present one.

    That has to be read before the next part is.
    """

    def __init__(self, body: memoryview, content_type: str, most: int | None = None) -> None:
        """Begin with a form of `most` parts; without a number, with one that is read at once."""
        self._events = _events(body, content_type, most)

    def __iter__(self) -> Iterator[Part]:
        """Yield the head of each part.

        Raises:
            RequestError: it is no form, or has more parts than `most`.
            BesideError: it is too much work to be read at once.
        """
        yield from self._events

    def pieces(self) -> Iterator[bytes]:
        """Yield what is in the present part.

        Raises:
            RequestError: it is no form.
        """
        for piece in self._events:
            if piece is None:
                return
            yield piece


def _events(body: memoryview, content_type: str, most: int | None) -> Iterator[Any]:
    """Yield the head of each part, then what is in it in pieces, then None."""
    boundary = _boundary(content_type)
    is_at_once = most is None
    try:
        parser: Any = multipart.PushMultipartParser(
            boundary,
            max_header_size=_USUAL_HEADER_BYTES if is_at_once else MAX_HEADER_BYTES,
            max_header_count=_USUAL_HEADERS if is_at_once else _MAX_HEADERS,
            max_segment_count=MAX_PARTS_AT_ONCE if is_at_once else most,
            strict=True,
        )
        end = len(body) - _blank_end(body)
        for at in range(0, end, PIECE_BYTES):
            for event in parser.parse(bytes(body[at : min(at + PIECE_BYTES, end)])):
                is_head = isinstance(event, multipart.MultipartSegment)
                yield _part(event) if is_head else event
        parser.close()
    except multipart.ParserLimitReached as error:
        if is_at_once:
            raise BesideError from None
        raise _refusal(f"{error}", boundary, most) from None
    except multipart.MultipartError as error:
        raise _refusal(f"{error}", boundary, most) from None


def _boundary(content_type: str) -> str:
    """Return what stands between the parts.

    Raises:
        RequestError: the Content-Type does not say it.
    """
    options: dict[str, str] = {}
    if len(content_type) <= _LONGEST_TYPE:
        options = multipart.parse_options_header(content_type)[1]
    if not options.get("boundary"):
        raise refused(
            "the Content-Type has no boundary: leave the header to the client "
            "(curl -F, requests' files=, a browser's FormData), which knows it"
        )
    return options["boundary"]


def _blank_end(body: memoryview) -> int:
    """Return how many last bytes only end a line: the parser would take them for more of it."""
    last = bytes(body[-4:])
    return len(last) - len(last.rstrip(b"\r\n"))


def _part(segment: Any) -> Part:
    headers = {name: value.strip().lower() for name, value in segment.headerlist}
    encoding = headers.get("Content-Transfer-Encoding", "")
    if encoding not in _AS_IT_IS:
        what = f"has a Content-Transfer-Encoding ({encoding[:40]}), which forms do not have"
        raise refused(f"{_named(segment.name)} {what}: send it as it is")
    if (segment.content_type or "").startswith("multipart/"):
        what = "is a form itself: send each of its files as a part of the one form"
        raise refused(f"{_named(segment.name)} {what}")
    charset = (segment.charset or "").lower()
    if segment.filename is None and charset not in _CHARSETS:
        what = f"has the charset {charset[:40]}, which is not known here: send it as UTF-8"
        raise refused(f"{_named(segment.name)} {what}")
    return Part(segment.name, segment.filename, charset or "utf-8")


def _named(name: str | None) -> str:
    return f'the part "{(name or "")[:40]}"'


def _refusal(said: str, boundary: str, most: int | None) -> RequestError:
    """Return the refusal for what the parser says."""
    if said.startswith(_MOST):
        return refused(f"it has more than {most} parts: send several requests", status=413)
    if said.startswith("Unexpected end"):
        return refused(f"it is cut off: its last line is to be --{boundary[:80]}--")
    if said.startswith("Boundary not found"):
        return refused(f"it does not begin with its boundary, --{boundary[:80]}")
    if "Missing name" in said:
        return refused('a part has no name: its head is to have Content-Disposition: …; name="…"')
    return refused(said[:1].lower() + said[1:])


def refused(cause: str, status: int = 400) -> RequestError:
    """Return the refusal of a form that cannot be read."""
    return RequestError(status, "Bad request", f"the form (multipart/form-data): {cause}")

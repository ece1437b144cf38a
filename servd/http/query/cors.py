"""Which other origins' pages may read the answers: CORS, off unless the setting says otherwise.

Every answer says so, errors too, by the head that it has: there are heads of answers for each
origin that is let in, and so a request costs nothing more. A token is a header that a page has to
set itself; there are no cookies or the like, so that credentials are never asked for. Made by
state.py; https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from collections.abc import Sequence
from typing import Final

from servd.http.wire import TEXT, Heads, Reply

ANY: Final = "*"

_ALLOWED: Final = b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: *\r\n"
_BY_ORIGIN: Final = b"Vary: Origin\r\n"
_PREFLIGHT: Final = (
    b"Access-Control-Allow-Methods: GET, HEAD, POST\r\n"
    # The star stands for all but this one.
    b"Access-Control-Allow-Headers: Authorization, *\r\n"
    b"Access-Control-Max-Age: 7200\r\n"
)


class Cors:
    """The heads of answers: `usual` are those for requests of no origin that is let in by name."""

    def __init__(self, origins: Sequence[str]) -> None:
        self.is_on = bool(origins)
        self._is_any = ANY in origins
        self._named: dict[bytes, Heads] = {}
        if self._is_any:
            self.usual = Heads(_ALLOWED % ANY.encode())
            return
        self.usual = Heads(_BY_ORIGIN if origins else b"")
        for origin in origins:
            self._named[origin.encode()] = Heads(_ALLOWED % origin.encode() + _BY_ORIGIN)

    def named(self, origin: bytes) -> Heads | None:
        """Return the heads for an origin that is let in by its name; None for any other."""
        return self._named.get(origin)

    def preflight(self, heads: Heads | None) -> Reply:
        """Return the answer to a browser that asks before it sends a request; without a token."""
        is_let_in = self._is_any or heads is not None
        return Reply(204, b"", TEXT, _PREFLIGHT if is_let_in else b"")

    def refresh(self) -> None:
        """Take the present second into all heads; called once a second."""
        self.usual.refresh()
        for heads in self._named.values():
            heads.refresh()

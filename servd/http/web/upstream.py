"""A kept connection to the HTTP server of one replica, and the answers that come over it.

Opened by gate.py, lent to one exchange (exchange.py) at a time. An answer is passed on as the bytes
that it is, once they have been read as HTTP; only what is unlike for the client is made anew.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import httptools

from servd.http.web.heads import BETWEEN, Header, response_head
from servd.logs import faults

if TYPE_CHECKING:
    from servd.engine.rpc import ReplicaConnection

MAX_HEAD_BYTES: Final = 64 * 1024
_TELLING: Final = BETWEEN | {b"content-length"}
"""Headers that say something of the connection or of the body's length."""
_BODILESS: Final = (204, 304)
_SWITCHING: Final = 101
_CHUNKS: Final = b"Transfer-Encoding: chunked\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Asker(Protocol):
    """Who hears an answer: exchange.py.

    `is_head` is whether the request was HEAD, whose answer has no body, whatever its head says,
    `is_offer` whether it offers another protocol.
    """

    is_head: bool
    is_offer: bool

    def may_pass(self) -> bool:
        """Whether the client can be sent a usual answer as it is."""

    def takes_chunks(self) -> bool:
        """Whether the client understands chunks."""

    def on_interim(self, head: bytes) -> None:
        """Take an answer before the answer (1xx)."""

    def begin(self) -> bytes:
        """Take the news that the answer begins; return the lines that its head is to have, too."""

    def write(self, data: bytes) -> None:
        """Send the client what follows."""

    def on_end(self, upstream: "Upstream", *, is_kept: bool) -> None:
        """Take the end of the answer; its connection is used again where it `is_kept`."""

    def on_switch(self, upstream: "Upstream", head: bytes, rest: bytes) -> None:
        """Take the news that another protocol is spoken from now on, and what came of it."""

    def on_lost(self, upstream: "Upstream", why: str) -> None:
        """Take the news that no more will come, though it has not ended."""

    def on_room(self, *, has_room: bool) -> None:
        """Send on no more of the request, or again."""


class Upstream(asyncio.Protocol):
    """One connection. `asker` is whose answer is read; without one nothing may come.

    `idle_since` is when it was last used, in the gate's seconds; `has_heard` whether anything has
    come of the answer, `is_broken` whether that was none. `on_gone` is called when it has ended.
    """

    __slots__ = (
        *("_begun", "_had_interim", "_has_head", "_has_length", "_headers", "_is_beyond"),
        *(
            "_is_chunked",
            "_is_complete",
            "_is_passed",
            "_is_paused",
            "_is_special",
            "_is_told",
            "_is_until_end",
        ),
        "_on_gone",
        *("_parser", "_reason", "_says_close", "_status", "_wraps"),
        *("asker", "has_heard", "idle_since", "is_broken", "replica", "transport"),
    )

    def __init__(self, replica: "ReplicaConnection", on_gone: Callable[["Upstream"], None]) -> None:
        self.replica = replica
        self._on_gone = on_gone
        self.is_broken = False
        self._is_paused = False
        self.asker: Asker | None = None
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        """Be ready for the answer to a request."""
        self.has_heard = False
        self._begun = b""
        self._had_interim = self._is_complete = self._is_beyond = False
        self._clear()

    def _clear(self) -> None:
        """Be ready for the head of an answer."""
        self._headers: list[Header] = []
        self._status = 0
        self._reason = b""
        self._has_head = self._has_length = self._is_chunked = self._is_special = False
        self._is_passed = self._is_told = self._is_until_end = False
        self._says_close = self._wraps = False

    # --- what exchange.py calls ---

    def ask(self, asker: Asker, data: bytes) -> None:
        """Send a request, or its beginning."""
        self.asker = asker
        self.send(data)

    def send(self, data: bytes) -> None:
        """Send what follows."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Hang up; nobody hears more."""
        self.asker = None
        if self.transport is not None:
            self.transport.abort()

    def pause(self, *, is_paused: bool) -> None:
        """Read no more of the answer, as its client does not, or again."""
        if is_paused is self._is_paused:
            return
        self._is_paused = is_paused
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.pause_reading if is_paused else self.transport.resume_reading)()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = transport  # type: ignore[assignment]  # a stream's

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self.transport = None
        self._on_gone(self)
        asker, self.asker = self.asker, None
        if asker is None:
            return
        if self._is_until_end and exc is None:
            if self._wraps:
                asker.write(_LAST_CHUNK)
            asker.on_end(self, is_kept=False)
        else:
            asker.on_lost(self, "" if exc is None else f"{exc}")

    def pause_writing(self) -> None:
        """Have the client wait: the replica does not read."""
        if self.asker is not None:
            self.asker.on_room(has_room=False)

    def resume_writing(self) -> None:
        """Go on."""
        if self.asker is not None:
            self.asker.on_room(has_room=True)

    def data_received(self, data: bytes) -> None:
        """Read what came, and pass it on."""
        asker = self.asker
        if asker is None:
            self.close()  # an answer that nobody has asked for
            return
        self.has_heard = True
        if not self._read(asker, data):
            return
        if self._is_beyond:
            self._break("it answered more than once")
            return
        if self._is_passed:
            if not self._is_told:
                self._is_told = True
                asker.begin()
                data = self._begun + data
            asker.write(data)
        if self._is_complete:
            self._end(asker)
        elif not self._has_head:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        """Hold a part of a head."""
        self._begun += data
        if len(self._begun) > MAX_HEAD_BYTES:
            self._break(f"the head of its answer is longer than {MAX_HEAD_BYTES} bytes")

    def _read(self, asker: Asker, data: bytes) -> bool:
        """Have the parser read what came; False where that was the end."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(asker, data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            faults.report(
                "an answer was not passed on", cause if isinstance(cause, Exception) else error
            )
            self._break("the proxy has a fault, which its log tells of")
        except httptools.HttpParserError as error:
            self._break(f"what it answered is not HTTP: {error}")
        else:
            return True
        return False

    def _end(self, asker: Asker) -> None:
        is_kept = not (self._says_close or self._is_until_end)
        if asker.is_head:
            self._parser = httptools.HttpResponseParser(self)  # that one waits for a body
        self.asker = None
        self._begin()
        asker.on_end(self, is_kept=is_kept)

    def _break(self, why: str) -> None:
        asker = self.asker
        self.is_broken = True
        self.close()
        if asker is not None:
            asker.on_lost(self, why)

    def _switch(self, asker: Asker, rest: bytes) -> None:
        if self._status != _SWITCHING or not asker.is_offer:
            self._break("it speaks another protocol, for which nobody has asked")
            return
        self.asker = None
        lines = [b"%b: %b\r\n" % pair for pair in self._headers]
        head = b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % b"".join(lines)
        asker.on_switch(self, head, rest)

    # --- httptools' names ---

    def on_message_begin(self) -> None:
        """Begin an answer; one that comes behind a whole one is too much."""
        if self._is_complete:
            self._is_beyond = True
        else:
            self._clear()

    def on_status(self, status: bytes) -> None:
        """Take the reason, or a piece of it."""
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and note what is not for the client."""
        self._headers.append((name, value))
        key = name.lower()
        if key not in _TELLING:
            return
        if key == b"content-length":
            self._has_length = True
        elif key == b"transfer-encoding":
            self._is_chunked = value.strip().lower() == b"chunked"
        else:
            self._is_special = True
            self._says_close |= key == b"connection" and b"close" in value.lower()

    def on_headers_complete(self) -> None:
        """Begin the client's answer: pass on what has come, or make a head for it."""
        asker = self.asker
        self._status = status = self._parser.get_status_code()
        if asker is None or self._is_beyond or status < 200:
            return
        self._has_head = True
        self._says_close |= self._parser.get_http_version() != "1.1"
        is_bodiless = asker.is_head or status in _BODILESS
        self._is_until_end = not (is_bodiless or self._is_chunked or self._has_length)
        is_usual = not (self._is_special or self._is_until_end or self._had_interim)
        if is_usual and not asker.is_head and asker.may_pass():
            self._is_passed = True  # it begins when all that has come is known to be of it
            return
        extra = asker.begin()
        if not is_bodiless and not self._has_length and asker.takes_chunks():
            self._wraps = True
            extra += _CHUNKS
        asker.write(response_head(status, self._reason, self._headers, extra))
        self._is_complete = asker.is_head

    def on_body(self, chunk: bytes) -> None:
        """Send a piece of the body, where it is not passed on as it came."""
        asker = self.asker
        if asker is not None and not (self._is_passed or self._is_beyond or asker.is_head):
            asker.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._wraps else chunk)

    def on_message_complete(self) -> None:
        """Note the end of an answer; of one before the answer, tell the client."""
        asker = self.asker
        if asker is None or self._is_complete or self._status == _SWITCHING:
            return
        if self._status < 200:
            asker.on_interim(response_head(self._status, self._reason, self._headers))
            self._had_interim = True
            self._begun = b""
            return
        self._is_complete = True
        if self._wraps:
            asker.write(_LAST_CHUNK)

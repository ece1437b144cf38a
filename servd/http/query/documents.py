"""The documents of the query port: rendered when they are asked for, once a change, in turns.

What they say is made by http/documents and the codecs. Used by pages.py.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from servd.engine.route import Route
from servd.http.codecs.base import Codec
from servd.http.codecs.routed import codec_of
from servd.http.documents import page
from servd.http.documents.application import Described
from servd.http.documents.openapi import Operations, document
from servd.http.documents.schemas import schema_document
from servd.http.query.state import PageReply, ServerState
from servd.http.wire import JSON, Reply
from servd.logs import faults

SLICE_S: Final = 0.001
"""So long is rendered in one turn of the event loop, and as long as a last piece takes."""

PIECE_BYTES: Final = 64 * 1024

MAX_KEPT: Final = 256
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
"""Documents are kept until something changes; when there are more, all are made anew."""

BY_ACCEPT: Final = b"Vary: Accept\r\n"
"""Of what is another text for browsers."""

_SCHEMA: Final = b"schema"
_OPENAPI: Final = b"openapi.json"


class Rendered(NamedTuple):
    """A whole document in pieces; `tag` is another one where it has changed."""

    pieces: list[bytes]
    tag: bytes


class _Waiter(Protocol):
    """Who asked for a document."""

    def on_page(self, text: Rendered) -> None:
        """Take it."""

    def on_fault(self, error: Exception) -> None:
        """Take an exception in rendering it."""


class Document:
    """One document. Who asks while it is rendered gets it with the others.

    It is `of` a state of things: of another one another document is to be made.
    """

    def __init__(
        self, pieces: Iterator[bytes], clock: Callable[[], float], of: tuple[object, ...]
    ) -> None:
        self.of = of
        self._rendering = pieces
        self._clock = clock
        self._pieces: list[bytes] = []
        self._open = bytearray()
        self._digest = blake2b(digest_size=12)
        self._waiters: list[_Waiter] = []
        self._is_begun = False
        self.rendered: Rendered | None = None
        self.is_failed = False

    @property
    def size(self) -> int:
        """How many bytes it has, as far as it is rendered."""
        return sum(map(len, self._pieces))

    def ask(self, waiter: _Waiter) -> None:
        """Have a waiter told the document, now or in a later turn of the loop."""
        if self.rendered is not None:
            waiter.on_page(self.rendered)
            return
        self._waiters.append(waiter)
        if not self._is_begun:
            self._is_begun = True
            self._go_on()

    def _go_on(self) -> None:
        until_s = self._clock() + SLICE_S
        try:
            while self._clock() < until_s:
                self._open += next(self._rendering)
                if len(self._open) > PIECE_BYTES:
                    self._end_piece()
        except StopIteration:
            self._end_piece()
            tag = b'"%b"' % self._digest.hexdigest().encode()
            self.rendered = Rendered(self._pieces, tag)
            self._tell(None)
        except Exception as error:  # noqa: BLE001 - those who wait are told
            self.is_failed = True
            self._tell(error)
        else:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _end_piece(self) -> None:
        piece, self._open = bytes(self._open), bytearray()
        self._digest.update(piece)
        self._pieces.append(piece)

    def _tell(self, error: Exception | None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            try:
                if error is not None:
                    waiter.on_fault(error)
                elif self.rendered is not None:
                    waiter.on_page(self.rendered)
            except Exception as again:  # noqa: BLE001 - the others wait as well
                faults.report("a document could not be answered", again)


@dataclass(frozen=True, slots=True)
class DocumentReply(PageReply):
    """A reply whose body is a document, unless the client has it: `unless` are its tags."""

    unless: bytes = b""

    def of(self, text: Rendered) -> Reply:
        """Return the answer."""
        extra = b"ETag: %b\r\nCache-Control: no-cache\r\n%b" % (text.tag, self.reply.extra)
        if self.unless.strip() == b"*" or text.tag in self.unless:
            return replace(self.reply, status=304, extra=extra)
        body = text.pieces[0] if len(text.pieces) == 1 else text.pieces
        return replace(self.reply, body=body, extra=extra)


class Documents:
    """The documents of one server's applications; those that were asked for are kept."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._kept: dict[tuple[str, bytes], Document] = {}

    def find(self, path: bytes, unless: bytes) -> DocumentReply | None:
        """Return the reply with the document at a path; None if there is none."""
        name, _, what = path.strip(b"/").partition(b"/")
        if path == b"/openapi.json":
            return self._reply("", _OPENAPI, JSON, unless)
        route = self._state.engine.by_name.get(name.decode(errors="replace"))
        if route is None or what not in (b"", _SCHEMA, _OPENAPI):
            return None
        return self._reply(route.name, what, JSON if what else page.HTML, unless)

    def index(self, unless: bytes) -> DocumentReply:
        """Return the reply with the page of all applications."""
        found = self._reply("", b"", page.HTML, unless)
        reply = replace(found.reply, extra=BY_ACCEPT + found.reply.extra)
        return DocumentReply(found.page, reply, unless)

    def _reply(self, name: str, what: bytes, kind: bytes, unless: bytes) -> DocumentReply:
        extra = page.policy() if kind is page.HTML else b""
        return DocumentReply(self._document(name, what), Reply(200, kind=kind, extra=extra), unless)

    def _document(self, name: str, what: bytes) -> Document:
        """Return a document, made anew where something has changed since it was."""
        engine = self._state.engine
        route = engine.by_name.get(name)
        # The number of values that a replica wants comes without a change of the registry.
        now = (engine.changes, None if route is None else row_items(route))
        key = (name, what)
        kept = self._kept.get(key)
        if kept is None or kept.is_failed or kept.of != now:
            if len(self._kept) >= MAX_KEPT or self._bytes() > MAX_KEPT_BYTES:
                self._kept.clear()
            pieces = self._pieces(route, what)
            kept = self._kept[key] = Document(pieces, engine.clock, now)
        return kept

    def _bytes(self) -> int:
        return sum(each.size for each in self._kept.values())

    def _pieces(self, route: Route | None, what: bytes) -> Iterator[bytes]:
        state = self._state
        if route is None:
            routes = list(state.engine.by_name.values())
            if what:
                models = [each for each in routes if not each.is_web]
                return self._openapi(models, is_whole=False)
            return page.index_page(
                [each.name for each in routes],
                [each.model or "" for each in routes],
                is_guarded=bool(state.token),
            )
        if what == _OPENAPI:
            return self._openapi([route], is_whole=True)
        described = self._described(route)
        return schema_document(described) if what else page.application_page(described)

    def _openapi(self, routes: list[Route], *, is_whole: bool) -> Iterator[bytes]:
        state = self._state
        return document(
            map(self._described, routes),
            lambda application, is_short: operations(
                [*state.codecs, *self._routed(application.name)], application, is_short=is_short
            ),
            is_guarded=bool(state.token),
            is_whole=is_whole,
        )

    def _routed(self, name: str) -> list[Codec]:
        rules = self._state.engine.rules.values()
        return [codec_of(rule) for rule in rules if rule.app == name]

    def _described(self, route: Route) -> Described:
        state = self._state
        current = route.current
        return Described(
            name=route.name,
            inputs=route.inputs,
            model=route.model,
            version=None if current is None else current.id.version,
            versions=tuple(route.versions),
            default=route.default,
            slo_s=route.slo_s,
            row_items=row_items(route),
            max_rows=state.bounds.max_rows,
            is_guarded=bool(state.token),
        )


def operations(
    codecs: Sequence[Codec], application: Described, *, is_short: bool
) -> Iterator[Operations | None]:
    """Yield what an application answers in all wire formats."""
    for codec in codecs:
        yield from codec.operations(application, is_short)


def row_items(route: Route) -> int | None:
    """Return how many numbers an input must have; None where that is not known."""
    dispatcher, size = route.current, route.input_type.item_bytes
    if dispatcher is None or dispatcher.row_bytes is None or not size:
        return None
    return dispatcher.row_bytes // size

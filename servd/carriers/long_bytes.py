"""A long input or output on its way: passed on in pieces, never copied whole, hashed or compared.

Made by http/large.py (inputs) and rpc.py (outputs). Joining or formatting it as bytes raises
TypeError, so the paths that every query takes need not ask whether something is long.
"""

import asyncio
import mmap
import re
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any, Final, Self

import zmq

LONG_BYTES: Final = 1 << 20
"""What is longer is moved in pieces, and is not kept in the cache."""

TURN_BYTES: Final = 1 << 20
"""Of a long message are looked through, or written, in one turn of the event loop."""

_TURN_OUTPUTS: Final = 2000

_TURN_UNMAPPED_BYTES: Final = 1 << 23
"""Of what nobody uses any more are given back in one turn: half a millisecond's work."""

_NEWLINE: Final = re.compile(rb"\n")
"""Finds one in any kind of buffer without copying it."""


Piece = bytes | memoryview


class LongBytes:
    """Bytes in pieces. Equal to nothing but themselves, so that a table never has to hash them.

    `source` lives as long as a view of what it owns is in use, and is let go of after them: slots
    are cleared in the order of their names.
    """

    __slots__ = ("_size", "pieces", "source")

    def __init__(self, pieces: list[Piece], source: object = None) -> None:
        self.pieces = pieces
        self.source = source
        self._size = sum(map(len, pieces))

    def __len__(self) -> int:
        return self._size


def pieces_of(parts: Iterable[Any]) -> list[Piece]:
    """Return bytes and long bytes as what can be written, one after the other."""
    pieces: list[Piece] = []
    for part in parts:
        if isinstance(part, LongBytes):
            pieces += part.pieces
        else:
            pieces.append(part)
    return pieces


class Mapping(mmap.mmap):
    """Memory for a piece of a message; whoever lets go of many pieces at once holds nobody up.

    They may be let go of in any way: written, unwanted as their client has hung up or was given
    the default output, or cut off by a replica's end. Each goes on to `_LET_GO` when it dies.
    """

    def __new__(cls, size: int) -> Self:
        """Map so many bytes. Private ones are given back in a third of the time."""
        return super().__new__(cls, -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def __del__(self) -> None:
        _LET_GO.take(self)


class _LetGo:
    """Mappings that nobody uses any more, on their way back to the system: a share in each turn."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[mmap.mmap] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self, mapping: mmap.mmap) -> None:
        """Keep it until its turn; where no loop is held up by its end, it ends now."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._waiting.append(mapping)
        if self._loop is not loop:  # one that was closed before its turn came goes on here
            self._loop = loop
            loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        left = _TURN_UNMAPPED_BYTES
        while left > 0 and self._waiting:
            left -= len(self._waiting.popleft())  # unmaps it, as nobody else has it
        if self._waiting and self._loop is not None:
            self._loop.call_soon(self._go_on)
        else:
            self._loop = None


_LET_GO: Final = _LetGo()


class LongFrame(zmq.Frame):
    """A frame that ZeroMQ has received in one piece: its memory is given back by a thread."""

    def __del__(self) -> None:
        with suppress(RuntimeError):  # no loop runs, so none is held up
            # Not from here, where it is still in use: it would end here if the thread were faster.
            asyncio.get_running_loop().call_soon(_let_go_beside, [self])


def view_of(frame: zmq.Frame) -> memoryview:
    """Return a view of a long frame, which ends when the last part of that does."""
    if len(frame) > _TURN_UNMAPPED_BYTES:
        frame.__class__ = LongFrame
    return frame.buffer


def _let_go_beside(held: list[LongFrame]) -> None:
    do_beside(held.clear)


def do_beside(let_go: Callable[..., object], *what: object) -> None:
    """Have a thread let go of what is long and in one piece: it waits without Python's lock."""
    with suppress(RuntimeError):  # the interpreter ends
        _thread().submit(let_go, *what)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "servd-unmap")


OnSplit = Callable[[list[bytes | LongBytes]], None]


def split_long(pieces: list[Any], on_split: OnSplit) -> None:
    """Split a long text, which is in pieces, at its newlines; a share in each turn of the loop.

    `on_split` gets the parts, those that are long in pieces as well.
    """
    _Split(pieces, on_split).go_on()


class _Split:
    """A long text that is being split; `_part` is what has come of the present part.

    What was looked through is let go of, as it may be hundreds of megabytes.
    """

    __slots__ = ("_at", "_found", "_on_split", "_part", "_rest", "_text")

    def __init__(self, pieces: list[Any], on_split: OnSplit) -> None:
        self._rest = deque([memoryview(piece) for piece in pieces])
        self._on_split = on_split
        self._found: list[bytes | LongBytes] = []
        self._part: list[Piece] = []
        self._text: memoryview | None = None
        self._at = 0

    def go_on(self) -> None:
        """Look through one turn's share."""
        left, cuts = TURN_BYTES, 0
        while left > 0 and cuts < _TURN_OUTPUTS and (text := self._present()) is not None:
            end = _NEWLINE.search(text, self._at)
            part = text[self._at : end.start() if end else len(text)]
            self._part.append(part)
            left -= len(part)
            if end is None:
                self._text = None
            else:
                self._cut()
                self._at = end.end()
                cuts += 1
        if self._present() is not None:
            asyncio.get_running_loop().call_soon(self.go_on)
        else:
            self._cut()
            self._on_split(self._found)

    def _present(self) -> memoryview | None:
        """Return the piece that is looked through, None when all were."""
        if self._text is None and self._rest:
            piece = self._rest.popleft()
            if len(piece) > TURN_BYTES:
                self._rest.appendleft(piece[TURN_BYTES:])
            self._text = piece[:TURN_BYTES]
            self._at = 0
        return self._text

    def _cut(self) -> None:
        part, self._part = self._part, []
        is_long = sum(map(len, part)) > LONG_BYTES
        self._found.append(LongBytes(part) if is_long else b"".join(part))

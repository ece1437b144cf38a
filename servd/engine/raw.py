"""Outputs that stay raw tensors, and the rows that ask for them. For codecs, rpc.py and cache.py.

Whoever reads tensors submits `WantsRaw(row)` in place of the row. Its sink hears a `RawOutput`
where the model's output is numpy's, else a JSON text as all others do. Such a row is equal to none
that does not ask, so the cache and the queries in flight keep their answers apart; and joining it
as bytes raises TypeError, so the path that every query takes does not ask whether there is one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from model_runtime import protocol, tensors
from model_runtime.protocol import ProtocolError
from servd.carriers.long_bytes import LONG_BYTES, TURN_BYTES, LongBytes, Piece

_TURN_OUTPUTS: Final = 1000


class WantsRaw:
    """A row whose output may be raw."""

    __slots__ = ("row",)

    def __init__(self, row: bytes | LongBytes) -> None:
        self.row = row

    def __len__(self) -> int:
        return len(self.row)

    def __hash__(self) -> int:
        return hash((WantsRaw, self.row))

    def __eq__(self, other: object) -> bool:
        return type(other) is WantsRaw and self.row == other.row


class RawOutput:
    """An output as tensors that describe themselves (docs/protocol.md, "Tensors")."""

    __slots__ = ("content",)

    def __init__(self, content: bytes | LongBytes) -> None:
        self.content = content

    def __len__(self) -> int:
        return len(self.content)

    def places(self) -> list[tensors.Place]:
        """Return what tensors it holds, and where.

        Raises:
            ProtocolError: it holds none. What a sink is told of was looked at before.
        """
        head: bytes | memoryview
        if isinstance(self.content, bytes):
            head = self.content
        else:
            head = self._begin(tensors.head_bytes(self._begin(4)))
        return tensors.places(head, len(self.content))

    def data(self, place: tensors.Place) -> list[memoryview]:
        """Return the data of one of its tensors, in pieces and uncopied."""
        rest = self._pieces()
        _take(rest, place.at)
        return _take(rest, place.size)

    def _begin(self, size: int) -> bytes:
        return b"".join(_take(self._pieces(), size))

    def _pieces(self) -> deque[memoryview]:
        content = self.content
        pieces = content.pieces if isinstance(content, LongBytes) else [content]
        return deque(memoryview(piece) for piece in pieces)


def is_short(value: object) -> bool:
    """Whether a row or an output is short enough to be kept, wanted or held raw or not."""
    if type(value) is WantsRaw:
        value = value.row
    elif type(value) is RawOutput:
        value = value.content
    return type(value) is bytes


def wanted_of(rows: Iterable[Any]) -> bytes:
    """Return the `wanted` of a PREDICT for these rows; empty where none asks for raw outputs."""
    wanted = bytes(protocol.WANTS_RAW * (type(row) is WantsRaw) for row in rows)
    return wanted if any(wanted) else b""


def plain(rows: Iterable[Any]) -> list[bytes | LongBytes]:
    """Return rows as they are sent, whatever they ask for."""
    return [row.row if type(row) is WantsRaw else row for row in rows]


OnOutputs = Callable[[list[Any], int], None]
"""Takes the outputs of a message, and of how many bytes they are."""


def take_apart(
    message: tuple[list[Any], list[Any]],
    wanted: bytes,
    on_outputs: OnOutputs,
    on_refused: Callable[[str], None],
) -> None:
    """Cut the outputs of a RAW message, its header and its frames, apart; a share in each turn.

    One of the two is called, once: with bytes and `RawOutput`s, or with why the message cannot be
    taken. `wanted` is what the batch's PREDICT has said of its rows.
    """
    try:
        cut = _Cut(message, wanted, on_outputs, on_refused)
    except ProtocolError as error:
        on_refused(str(error))
    else:
        cut.go_on()


class _Cut:
    """A message that is being cut; what was is let go of, as it may be hundreds of megabytes."""

    __slots__ = ("_forms", "_found", "_on_outputs", "_on_refused", "_rest", "_size", "_sizes")

    def __init__(
        self,
        message: tuple[list[Any], list[Any]],
        wanted: bytes,
        on_outputs: OnOutputs,
        on_refused: Callable[[str], None],
    ) -> None:
        header, frames = message
        self._forms = _forms_of(header[4:], wanted)
        data, lengths = (*map(_in_pieces, frames[1:3]), [], [])[:2]
        self._rest = deque(data)
        self._size = sum(map(len, data))
        self._sizes = protocol.sizes_of(b"".join(lengths), self._size, len(wanted))
        self._found: list[bytes | LongBytes | RawOutput] = []
        self._on_outputs = on_outputs
        self._on_refused = on_refused

    def go_on(self) -> None:
        """Cut one turn's share."""
        left = TURN_BYTES
        begin = len(self._found)
        try:
            for at in range(begin, min(begin + _TURN_OUTPUTS, len(self._sizes))):
                left -= self._cut(self._sizes[at], is_raw=self._forms[at] == protocol.IS_RAW)
                if left <= 0:
                    break
        except ProtocolError as error:
            self._on_refused(f"a raw output is none: {error}")
            return
        if len(self._found) < len(self._sizes):
            asyncio.get_running_loop().call_soon(self.go_on)
        else:
            self._on_outputs(self._found, self._size)

    def _cut(self, size: int, *, is_raw: bool) -> int:
        """Cut the next output off; return how much of it was copied."""
        parts = _take(self._rest, size)
        is_long = size > LONG_BYTES
        content = LongBytes([*parts]) if is_long else b"".join(parts)
        if is_raw:
            output = RawOutput(content)
            output.places()
            self._found.append(output)
        else:
            self._found.append(content)
        return 0 if is_long else size


def _forms_of(more: Sequence[Any], wanted: bytes) -> bytes:
    """Return which outputs are raw, once none is that was not asked for."""
    forms = more[0] if more else None
    if not isinstance(forms, bytes) or len(forms) != len(wanted):
        raise ProtocolError(f"the forms of {len(wanted)} outputs that may be raw are {forms!r:.80}")
    if any(form > asked for form, asked in zip(forms, wanted, strict=True)):
        raise ProtocolError("an output is raw that was to be a JSON text")
    return forms


def _in_pieces(frame: bytes | list[Piece]) -> list[memoryview]:
    return [memoryview(piece) for piece in (frame if isinstance(frame, list) else [frame])]


def _take(rest: deque[memoryview], size: int) -> list[memoryview]:
    """Remove and return the first bytes of what is left, in pieces."""
    taken = []
    while size and rest:
        piece = rest[0]
        if len(piece) <= size:
            taken.append(rest.popleft())
        else:
            taken.append(piece[:size])
            rest[0] = piece[size:]
        size -= len(taken[-1])
    return taken

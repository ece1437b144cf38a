"""A long input or output on its way: passed on in pieces, never copied whole, hashed or compared.

Made by http/large.py (inputs) and rpc.py (outputs). Joining or formatting it as bytes raises
TypeError, so the paths that every query takes need not ask whether something is long.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

LONG_BYTES: Final = 1 << 20
"""What is longer is moved in pieces, and is not kept in the cache."""

_TURN_BYTES: Final = 1 << 20
"""Of a message with many outputs are looked through in one turn of the event loop."""

_TURN_OUTPUTS: Final = 2000


class LongBytes:
    """A view of bytes. Equal to nothing but itself, so that a table never has to hash it.

    `owner` lives as long as a view of what it owns is in use.
    """

    __slots__ = ("owner", "view")

    def __init__(self, view: memoryview, owner: object = None) -> None:
        self.view = view
        self.owner = owner

    def __len__(self) -> int:
        return len(self.view)


def views(parts: Sequence[Any]) -> list[bytes | memoryview]:
    """Return bytes and long bytes as what can be written."""
    return [part.view if isinstance(part, LongBytes) else part for part in parts]


def split_long(
    text: bytes | memoryview, on_split: Callable[[list[bytes | LongBytes]], None]
) -> None:
    """Split a long text at its newlines, a part of it in each turn of the loop.

    `on_split` gets the parts, those that are long as views of the text.
    """
    _Split(text, on_split).go_on()


class _Split:
    """A long text that is being split; `_from` is where the present part begins."""

    __slots__ = ("_at", "_found", "_from", "_on_split", "_view")

    def __init__(
        self, text: bytes | memoryview, on_split: Callable[[list[bytes | LongBytes]], None]
    ) -> None:
        self._view = memoryview(text)
        self._on_split = on_split
        self._found: list[bytes | LongBytes] = []
        self._from = self._at = 0

    def go_on(self) -> None:
        """Look through one turn's share."""
        share = bytes(self._view[self._at : self._at + _TURN_BYTES])
        after = 0
        for _ in range(_TURN_OUTPUTS):
            end = share.find(b"\n", after)
            if end < 0:
                after = len(share)
                break
            self._cut(self._at + end)
            after = end + 1
        self._at += after
        # A newline at the very end has an empty part behind it: the next turn finds that.
        if self._at < len(self._view) or (after and share[after - 1 :] == b"\n"):
            asyncio.get_running_loop().call_soon(self.go_on)
        else:
            self._cut(len(self._view))
            self._on_split(self._found)

    def _cut(self, end: int) -> None:
        part = self._view[self._from : end]
        self._found.append(LongBytes(part) if len(part) > LONG_BYTES else bytes(part))
        self._from = end + 1

"""Messages on a byte stream."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime import framing
from model_runtime.framing import Assembler, prefix
from model_runtime.protocol import ProtocolError

FRAMES = st.tuples(
    st.binary(min_size=1, max_size=40), st.binary(max_size=300), st.binary(max_size=9)
)


@given(messages=st.lists(FRAMES, max_size=8), cuts=st.lists(st.integers(1, 200), min_size=1))
def test_messages_survive_any_cuts(messages, cuts):
    """However a stream is cut into pieces, the messages come out, without their empty frames."""
    stream = b"".join(prefix(*frames) + b"".join(frames) for frames in messages)
    assembler = Assembler()
    found, at, turn = [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += assembler.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == [[frame for frame in frames if frame] for frames in messages]


@pytest.mark.parametrize(
    "text", ["GET / HTTP/1.1\r\n", "\0" * 12, "\1\0\0\0\xff\xff\xff\xff" + "\0" * 4]
)
def test_lengths_beyond_sense_are_refused(text):
    """A stream of something else is not waited for."""
    with pytest.raises(ProtocolError, match="no sensible length"):
        Assembler().feed(text.encode("latin-1"))


def test_long_messages_survive_any_cuts(monkeypatch):
    """One that is longer than what is waited for whole comes out the same."""
    monkeypatch.setattr(framing, "LONG_BYTES", 20)
    test_messages_survive_any_cuts()


def test_a_long_message_is_in_memory_once():
    """However many pieces it comes in, none is joined with what came before by a copy of that."""
    size = 8_000_000
    piece = bytes(100_000)
    assembler = Assembler()
    assembler.feed(prefix(b"h", bytes(size)) + b"h")
    tracemalloc.start()
    try:
        messages = [assembler.feed(piece) for _ in range(size // len(piece))]
        assert tracemalloc.get_traced_memory()[1] < 1.3 * size
    finally:
        tracemalloc.stop()
    assert messages[-1] == [[b"h", bytes(size)]]


@given(messages=st.lists(FRAMES, max_size=8), cuts=st.lists(st.integers(1, 200), min_size=1))
def test_what_a_view_shows_may_change_afterwards(messages, cuts):
    """All pieces come in one buffer, which the next one overwrites."""
    stream = b"".join(prefix(*frames) + b"".join(frames) for frames in messages)
    buffer = memoryview(bytearray(200))
    for gathered in (0, 20, 1 << 15):
        assembler = Assembler()
        assembler._gathered_bytes = gathered
        found, at, turn = [], 0, 0
        while at < len(stream):
            piece = stream[at : at + cuts[turn % len(cuts)]]
            buffer[: len(piece)] = piece
            found += assembler.feed(buffer[: len(piece)])
            at, turn = at + len(piece), turn + 1
            buffer[:] = bytes(200)
        assert found == [[frame for frame in frames if frame] for frames in messages]

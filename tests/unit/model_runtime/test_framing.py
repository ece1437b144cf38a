"""Messages on a byte stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    with pytest.raises(ProtocolError):
        Assembler().feed(text.encode("latin-1"))

"""The messages of the replica protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime import protocol
from model_runtime.protocol import ProtocolError


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=30))
def test_rows_survive(rows):
    """Joined rows come apart again, of equal lengths or not."""
    lengths, data = protocol.join_rows(rows)
    assert protocol.split_rows(lengths, data, len(rows)) == rows
    assert (lengths == b"") == (len({len(row) for row in rows}) == 1)


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 10))
def test_broken_frames_are_refused(lengths, data, count):
    """Any frames give that many rows, or a ProtocolError."""
    try:
        rows = protocol.split_rows(lengths, data, count)
    except ProtocolError:
        return
    assert len(rows) == count
    assert b"".join(rows) == data


@pytest.mark.parametrize(
    ("lengths", "data", "count", "words"),
    [
        (b"", b"12345", 2, "5 bytes are not 2 rows of equal length"),
        (b"1234", b"", 2, "lengths has 4 bytes for 2 rows"),
        (b"\1\0\0\0\1\0\0\0", b"123", 2, "lengths do not add up to the data"),
    ],
)
def test_each_kind_of_broken_frame(lengths, data, count, words):
    """Sizes that do not fit are refused."""
    with pytest.raises(ProtocolError, match=words):
        protocol.split_rows(lengths, data, count)


@given(st.binary(max_size=30))
def test_any_header_is_read_or_refused(frame):
    """Bytes are a header or a ProtocolError."""
    try:
        header = protocol.unpack_header(frame)
    except ProtocolError:
        return
    assert isinstance(header[0], int)


def test_headers_survive():
    """What is packed is unpacked."""
    header = [protocol.STATE, 1, "ready", {"row_items": None}]
    assert protocol.unpack_header(protocol.pack_header(header)) == header

"""Packed bodies under a limit."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.http.bodies import BodyError, inflate


@given(st.binary(max_size=2000))
def test_bodies_survive_packing(data):
    """What was packed comes out again."""
    assert inflate(gzip.compress(data), b"gzip", 2000) == data
    assert inflate(gzip.compress(data), b"x-gzip", 2000) == data
    assert inflate(zlib.compress(data), b"deflate", 2000) == data


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate", b"br", b"\xff"]))
def test_any_bytes_are_unpacked_or_refused(body, encoding):
    """No body raises anything but BodyError."""
    try:
        assert len(inflate(body, encoding, 1000)) <= 1000
    except BodyError as error:
        assert error.status in (400, 413, 415)  # noqa: PT017 - most bodies raise nothing


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"x" * 1001, mtime=0), b"gzip", 413),
        (gzip.compress(b"x", mtime=0)[:-1], b"gzip", 400),
        (b"x", b"deflate", 400),
        (b"", b"gzip", 400),
        (b"x", b"zstd", 415),
    ],
)
def test_refusals(body, encoding, status):
    """Each fault has its status."""
    with pytest.raises(BodyError) as caught:
        inflate(body, encoding, 1000)
    assert caught.value.status == status


def test_the_limit_itself_is_allowed():
    """A body of exactly the limit passes."""
    assert len(inflate(gzip.compress(b"x" * 1000), b"gzip", 1000)) == 1000

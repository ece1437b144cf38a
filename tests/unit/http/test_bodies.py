"""Packed bodies under limits."""

import gzip
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.http.bodies import BodyError, inflate_short, unpack
from servd.http.bounds import Bounds

BOUNDS = Bounds(max_body_bytes=1000, max_rows=1, max_values=1, max_ratio=200)
LARGE = Bounds(max_body_bytes=20_000_000, max_rows=1, max_values=1, max_ratio=200)


def inflate(body, encoding, bounds=BOUNDS):
    """Return a body that is unpacked piece by piece."""
    return b"".join(unpack(memoryview(body), encoding, bounds))


@given(st.binary(max_size=1000))
def test_bodies_survive_packing(data):
    """What was packed comes out again, whole and piece by piece."""
    for packed, encoding in (
        (gzip.compress(data), "gzip"),
        (gzip.compress(data), "x-gzip"),
        (zlib.compress(data), "deflate"),
        (zlib.compress(data)[2:-4], "deflate"),
    ):
        assert inflate(packed, encoding) == data
        assert inflate_short(packed, encoding, 1000) == data


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "\xff"]))
def test_any_bytes_are_unpacked_or_refused(body, encoding):
    """No body raises anything but BodyError."""
    for function in (lambda: inflate_short(body, encoding, 1000), lambda: inflate(body, encoding)):
        try:
            assert len(function() or b"") <= 1000
        except BodyError as error:
            assert error.status in (400, 413, 415)  # noqa: PT017 - most bodies raise nothing


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"x", mtime=0)[:-1], "gzip", 400),
        (b"x", "deflate", 400),
        (b"", "gzip", 400),
        (b"x", "zstd", 415),
    ],
)
def test_refusals(body, encoding, status):
    """Each fault has its status, whichever way it is unpacked."""
    for function in (lambda: inflate_short(body, encoding, 1000), lambda: inflate(body, encoding)):
        with pytest.raises(BodyError) as caught:
            function()
        assert caught.value.status == status


def test_the_limit_itself_is_allowed():
    """A body of exactly the limit passes; one more byte does not, and says which setting."""
    at, over = gzip.compress(b"x" * 1000), gzip.compress(b"x" * 1001)
    assert len(inflate(at, "gzip")) == 1000
    assert len(inflate_short(at, "gzip", 1000)) == 1000
    assert inflate_short(over, "gzip", 1000) is None
    with pytest.raises(BodyError, match=r"more than 1000 bytes: .*--max-body") as caught:
        inflate(over, "gzip")
    assert caught.value.status == 413


def test_a_body_that_unpacks_to_many_times_its_size_is_refused_early():
    """Sixty kilobytes are not unpacked to sixty megabytes first."""
    packed = gzip.compress(bytes(15_000_000))
    pieces = unpack(memoryview(packed), "gzip", LARGE)
    unpacked = 0

    def unpack_all():
        nonlocal unpacked
        for piece in pieces:
            unpacked += len(piece)

    with pytest.raises(BodyError, match=r"200 times its size: .*--max-ratio") as caught:
        unpack_all()
    assert caught.value.status == 413
    assert unpacked < 5_000_000
    chance = os.urandom(100_000)
    assert inflate(gzip.compress(chance * 15), "gzip", LARGE) == chance * 15

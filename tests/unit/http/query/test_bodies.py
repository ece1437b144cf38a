"""Packed bodies under limits."""

import gzip
import os
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.http.bounds import Bounds
from servd.http.query.bodies import BodyError, inflate_short, unpack

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


def members(*parts, level=9):
    """Return gzip data of several members."""
    # Without a time: names of tests are made of it, and must be the same in every worker.
    return b"".join(gzip.compress(part, level, mtime=0) for part in parts)


@given(st.lists(st.binary(max_size=60), min_size=2, max_size=12))
def test_all_members_are_read(parts):
    """Gzip data may be a series of members (RFC 1952): none is dropped, empty ones are nothing."""
    packed = members(*parts)
    for encoding in ("gzip", "x-gzip"):
        assert inflate(packed, encoding) == b"".join(parts)
        found = inflate_short(packed, encoding, 1000)
        assert found == (None if len(parts) > 8 else b"".join(parts))


def test_members_of_any_length_are_read():
    """Whatever is fed at a time, a member's end may lie anywhere in it."""
    sizes = [0, 1, 250, 300, 70_000, 5, 2_000_000, 0, 131_072, 9]
    parts = [os.urandom(size) for size in sizes]
    assert inflate(members(*parts, level=1), "gzip", LARGE) == b"".join(parts)


@pytest.mark.parametrize(
    ("packed", "encoding", "said"),
    [
        (members(b"a") + b"garbage", "gzip", "something else follows"),
        (members(b"a") + bytes(8), "gzip", "something else follows"),
        (members(b"a") + zlib.compress(b"b"), "gzip", "something else follows"),
        (members(b"a", b"b") + b"x", "gzip", "something else follows"),
        (members(b"a") + b"\x1f", "gzip", "ends too early"),
        (members(b"a") + b"\x1f\x8b", "gzip", "ends too early"),
        (members(b"a", b"b")[:-1], "gzip", "ends too early"),
        (members(b"a", b"b", b"c")[:-12], "gzip", "ends too early"),
        (members(b"a") + b"\x1f\x8bxxxxxxxxxxxxxxxxx", "gzip", "is not gzip"),
        (members(b"a") + members(b"b")[:-8] + bytes(8), "gzip", "is not gzip"),
        (zlib.compress(b"a") + b"garbage", "deflate", "something else follows"),
        (zlib.compress(b"a") + zlib.compress(b"b"), "deflate", "something else follows"),
        (zlib.compress(b"a")[2:-4] + b"x", "deflate", "something else follows"),
    ],
)
def test_what_is_behind_the_first_member_counts(packed, encoding, said):
    """What is behind it and is no whole member is refused, not dropped."""
    for function in (
        lambda: inflate_short(packed, encoding, 1000),
        lambda: inflate(packed, encoding),
    ):
        with pytest.raises(BodyError, match=said) as caught:
            function()
        assert caught.value.status == 400


def test_the_bounds_hold_for_all_members_together():
    """The size and the ratio of a body are those of the whole body."""
    assert inflate(members(*[b"x" * 100] * 10), "gzip") == b"x" * 1000
    for parts in ([b"x" * 100] * 10 + [b"x"], [b"x" * 999, b"xx"]):
        with pytest.raises(BodyError, match="more than 1000 bytes"):
            inflate(members(*parts), "gzip")
    assert inflate_short(members(b"x" * 999, b"xx"), "gzip", 1000) is None
    with pytest.raises(BodyError, match="200 times its size"):
        inflate(members(*[bytes(900_000)] * 5), "gzip", LARGE)


def test_very_many_members_take_time_in_proportion():
    """Ten times as many take about ten times as long, not a hundred times."""
    one = gzip.compress(b"")

    def seconds(count):
        packed = one * count + gzip.compress(b"x")
        began_s = time.process_time()
        assert inflate(packed, "gzip", LARGE) == b"x"
        return time.process_time() - began_s

    few = min(seconds(5000) for _ in range(3))
    assert min(seconds(50_000) for _ in range(2)) < 30 * few


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

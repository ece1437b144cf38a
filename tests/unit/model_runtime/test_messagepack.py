"""Tests of msgpack without its library: the same bytes, and the same values of them."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime import messagepack
from model_runtime.messagepack import FormatError, pack, unpack

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
EDGES = [
    *(0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1),
    *(-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)),
    *("x" * size for size in (31, 32, 255, 256, 65535, 65536)),
    *(b"x" * size for size in (0, 255, 256, 65535, 65536)),
    *([None] * size for size in (15, 16, 65535, 65536)),
    {str(number): number for number in range(16)},
    {str(number): number for number in range(65536)},
]


@given(VALUES)
def test_any_value_is_packed_as_by_the_library(value):
    """What one writes the other reads, byte for byte."""
    assert pack(value) == msgpack.packb(value)
    assert unpack(msgpack.packb(value)) == value


@pytest.mark.parametrize("value", EDGES, ids=lambda value: f"{type(value).__name__} {value!r:.20}")
def test_the_ends_of_each_form_are_packed_alike(value):
    """A value takes the shortest form that holds it."""
    assert pack(value) == msgpack.packb(value)
    assert unpack(msgpack.packb(value)) == value


def test_what_stands_for_these_values_is_packed_too():
    """Tuples, views, and what is of a class of the model's."""

    class Count(int):
        pass

    assert pack((Count(3), memoryview(b"x"), bytearray(b"y"))) == pack([3, b"x", b"y"])
    assert unpack(msgpack.packb(1.5, use_single_float=True)) == 1.5
    assert unpack(memoryview(pack([1]))) == [1]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(data):
    """Nothing else is raised but what says so; what both read is the same."""
    try:
        value = unpack(data)
    except (FormatError, UnicodeDecodeError):
        return
    assert repr(msgpack.unpackb(data)) == repr(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\x92\x01",
        b"\xa5abc",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\x91" * 2000 + b"\x01",
        b"\x81\x91\x01\x02",
        b"\xd4\x01\x00",
    ],
)
def test_what_is_no_value_is_refused(data):
    """Cut, long, deep, with a key that is no text, or of a form that headers never have."""
    with pytest.raises(FormatError) as refused:
        unpack(data)
    assert str(refused.value)


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**64, -(2**63) - 1, 1j])
def test_what_has_no_form_is_refused(value):
    """An object, and a number beyond 64 bits."""
    with pytest.raises(FormatError, match="cannot be packed"):
        pack([value])


def test_what_is_inside_of_itself_is_refused():
    """It is deeper than any header."""
    endless = []
    endless.append(endless)
    with pytest.raises(FormatError, match="cannot be packed"):
        pack(endless)
    assert messagepack.unpack(pack([[[]]])) == [[[]]]

"""Named tensors as bytes that describe themselves."""

import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime import tensors
from model_runtime.protocol import ProtocolError
from model_runtime.tensors import Tensor


def packed(*given_tensors):
    """Return tensors as one row."""
    return b"".join(tensors.pack(given_tensors))


def described(*description, data=b""):
    """Return a row of any description, as somebody else might send it."""
    text = msgpack.packb(list(description))
    return (struct.pack("<I", len(text)) + text).ljust(-(-(4 + len(text)) // 8) * 8, b"\0") + data


@st.composite
def any_tensors(draw):
    """Make some tensors of any dtype and shape."""
    names = draw(st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True))
    made = []
    for name in names:
        dtype = draw(st.sampled_from([*tensors.LETTERS]))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        size = tensors.WIDTHS[dtype]
        for length in shape:
            size *= length
        made.append(Tensor(name, dtype, shape, draw(st.binary(min_size=size, max_size=size))))
    return made


def test_the_bytes_are_those_of_the_page():
    """To the byte, as docs/protocol.md has them: other programs write them, too."""
    row = packed(
        Tensor("x", "float32", (2,), struct.pack("<2f", 1, 2)),
        Tensor("n", "uint8", (), b"\7"),
    )
    text = b"\x92\x94\xa1x\xa7float32\x91\x02\x08\x94\xa1n\xa5uint8\x90\x01"
    assert row == (
        struct.pack("<I", len(text))
        + text
        + bytes(-(4 + len(text)) % 8)
        + b"\0\0\x80\x3f\0\0\0\x40"
        + b"\7\0\0\0\0\0\0\0"
    )


@given(any_tensors())
def test_what_is_packed_is_unpacked(made):
    """Names, dtypes, shapes and data come back; all data begins at a multiple of eight."""
    row = packed(*made)
    assert tensors.unpack(row) == made
    assert len(row) % tensors.ALIGNMENT == 0
    found = tensors.places(row, len(row))
    assert all(place.at % tensors.ALIGNMENT == 0 for place in found)
    # The first bytes say how many tell all, so that the rest need not be there.
    assert tensors.places(row[: tensors.head_bytes(row[:4])], len(row)) == found


@given(any_tensors(), st.data())
def test_damage_is_refused_and_nothing_worse(made, data):
    """Whatever bytes there are, they are tensors or they are refused."""
    row = bytearray(packed(*made))
    for _ in range(data.draw(st.integers(1, 3))):
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(st.integers(0, 255))
    row = bytes(row)[: data.draw(st.integers(0, len(row)))]
    try:
        found = tensors.unpack(row)
    except ProtocolError:
        return
    assert sum(len(tensor.data) for tensor in found) <= len(row)


X = ["x", "float32", [2], 8]
EIGHT = bytes(8)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"", "too few"),
        (b"\0\0\0", "too few"),
        (b"\xff\xff\xff\xff" + EIGHT, "described in 4294967295 bytes"),
        (struct.pack("<I", 9) + EIGHT, "cut off"),
        (struct.pack("<I", 1) + b"\xc1" + bytes(3), "not msgpack"),
        (struct.pack("<I", 4) + b"\x90" + bytes(3), "not msgpack"),
        (described(), "0 tensors"),
        (struct.pack("<I", 1) + b"\x07" + bytes(3), "no list"),
        (described(*[[str(n), "int8", [0], 0] for n in range(1025)]), "1025 tensors"),
        (described("x"), "its name, dtype, shape and size"),
        (described(["x", "float32", [2]]), "its name, dtype, shape and size"),
        (described([7, "float32", [2], 8], data=EIGHT), "name is a text"),
        (described(["x" * 257, "float32", [2], 8], data=EIGHT), "name is a text"),
        (described(["x", "complex64", [1], 8], data=EIGHT), "'complex64'; known are bool, int8"),
        (described(["x", [], [1], 8], data=EIGHT), "of dtype []"),
        (described(["x", "float32", 2, 8], data=EIGHT), "of shape 2"),
        (described(["x", "float32", [-2], 8], data=EIGHT), "of shape [-2]"),
        (described(["x", "float32", [True, 2], 8], data=EIGHT), "of shape [True, 2]"),
        (described(["x", "float32", [2.0], 8], data=EIGHT), "of shape [2.0]"),
        (described(["x", "int8", [1] * 33, 1], data=EIGHT), "up to 32 whole numbers"),
        (described(["x", "float32", [3], 8], data=EIGHT), "takes 12 bytes, not 8"),
        (described(["x", "float32", [2], "8"], data=EIGHT), "takes 8 bytes, not '8'"),
        (described(["x", "int8", [2**63, 2, 2**63], 0]), "too large"),
        (described(["x", "int8", [0, 2**32, 2**32], 0]), "too large"),
        (described(["x", "bytes", [3], 8], data=EIGHT), "takes at least 12 bytes, not 8"),
        (described(X), "24 bytes of tensors that take 32"),
        (described(X, data=bytes(16)), "40 bytes of tensors that take 32"),
        (described(X, X, data=bytes(16)), "same name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(row, reason):
    """Each kind of mistake has its message; none is another exception."""
    with pytest.raises(ProtocolError) as caught:
        tensors.unpack(row)
    assert reason in str(caught.value)


def test_no_more_is_packed_than_is_read():
    """What nobody would take is refused where it is made."""
    with pytest.raises(ProtocolError, match="same name"):
        packed(Tensor("x", "int8", (), b"1"), Tensor("x", "int8", (), b"1"))
    with pytest.raises(ProtocolError, match="takes 2 bytes, not 1"):
        packed(Tensor("x", "int8", (2,), b"1"))


def test_elements_of_any_length():
    """A tensor of bytes has elements of any length, which add up to its data."""
    data = tensors.pack_elements([b"ab", b"", b"\xff" * 300])
    (tensor,) = tensors.unpack(packed(Tensor("t", "bytes", (3,), data)))
    assert tensors.elements(tensor) == [b"ab", b"", b"\xff" * 300]
    for wrong in (data[:-1], data + b"\0", data + bytes(4), struct.pack("<3I", 0, 0, 2**32 - 1)):
        with pytest.raises(ProtocolError, match="do not add up"):
            tensors.elements(Tensor("t", "bytes", (3,), memoryview(wrong)))


def test_elements_are_nested_by_their_shape():
    """Row by row; without a dimension an element stands alone."""
    assert tensors.nested(range(6), (2, 3)) == [[0, 1, 2], [3, 4, 5]]
    assert tensors.nested([7], ()) == 7
    assert tensors.nested([], (2, 0)) == [[], []]

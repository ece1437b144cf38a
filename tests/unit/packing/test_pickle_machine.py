"""Opcodes are run on names; what a real unpickler would import is what is heard."""

import collections
import datetime as dt
import decimal
import fractions
import functools
import io
import pickle
import pickletools

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib.numpy_pickle import NumpyArrayWrapper

from servd.packing.pickle_machine import run

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.complex_numbers(allow_nan=False)
    | st.sampled_from([range(3), collections.OrderedDict(a=1), functools.partial(max, 1), len])
)
HASHABLE = st.integers() | st.text(max_size=5) | st.dates()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.tuples(inner, inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=9), inner, max_size=6)
        | st.sets(HASHABLE, max_size=6)
        | st.frozensets(HASHABLE, max_size=6)
        | inner.map(lambda value: [value, value, {"again": value}])
    ),
    max_leaves=20,
)


class Recorder(pickle.Unpickler):
    """Unpickles, and remembers what was asked for."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))
        self.found = []

    def find_class(self, module, name):
        """Note what is imported."""
        self.found.append((module, name))
        return super().find_class(module, name)


def heard(content, limit=100_000):
    """Run a pickle; return the names, the items, the machine, and whether it came to its end."""
    names, items = [], []
    machine, is_complete = run(
        content,
        lambda found: names.append((found.module, found.name)),
        lambda key, value: items.append((key, value)),
        limit,
    )
    return names, items, machine, is_complete


@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_what_is_heard_is_what_would_be_imported(value, protocol):
    """In each protocol, in order, with every name that is asked for again."""
    content = pickle.dumps(value, protocol)
    recorder = Recorder(content)
    recorder.load()
    names, _, machine, is_complete = heard(content)
    assert is_complete
    assert names == recorder.found
    assert machine.protocol == (protocol if protocol >= 2 else 0)
    assert not machine.is_python2


@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL), st.data())
def test_a_cut_pickle_is_never_complete(value, protocol, data):
    """Wherever it is cut; and nothing but that is raised."""
    content = pickle.dumps(value, protocol)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    assert not heard(cut)[3]


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_end(content):
    """What is no pickle is not run for ever, and raises nothing."""
    heard(content)


@given(VALUES, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4))
def test_damaged_pickles_end(value, changes):
    """One of many ways a file is broken."""
    content = bytearray(pickle.dumps(value, 4))
    for place, byte in changes:
        content[place % len(content)] = byte
    heard(bytes(content))


def test_old_opcodes_are_understood():
    """Python 2's instances, objects and texts; none of which Python 3 writes."""
    names, items, machine, is_complete = heard(b"(S'a'\nim\nOld\n(cm\nNew\nS'b'\no\x85.")
    assert (names, is_complete, machine.is_python2) == ([("m", "Old"), ("m", "New")], True, True)
    names, items, _, is_complete = heard(b"\x80\x02(ccopyreg\n_ext\nK\x01o0NN2(NN1(U\x01kK\x07d.")
    assert is_complete
    assert ("k", 7) in items
    assert heard(b"\x80\x02(X\x01\x00\x00\x00kK\x07d.")[1] == [("k", 7)]


def test_newobj_with_keywords_and_persistent_ids():
    """Less common ways to make an object leave the stack as they must."""
    names, _, _, is_complete = heard(b"\x80\x04cm\nA\n)}\x92cm\nB\n)\x81X\x01\x00\x00\x00pQ\x87.")
    assert names == [("m", "A"), ("m", "B")]
    assert is_complete
    assert heard(b"\x80\x04cm\nA\n)\x81Pname\n\x86.")[3]


def test_values_follow_their_texts():
    """As a dict has them, also where texts are taken from the memo."""
    value = [{"a": 1, "b": "c", "d": {"e": True}}, {"a": 2}, ("a", 3), {"f": 2.5, "g": None}]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        _, items, _, _ = heard(pickle.dumps(value, protocol))
        assert {("a", 1), ("a", 2), ("a", 3), ("b", "c"), ("f", 2.5), ("g", None)} <= {
            item for item in items if not isinstance(item[1], dict | list)
        }


def test_more_opcodes_than_wanted_are_not_run():
    """Up to the last one allowed."""
    content = pickle.dumps([1, 2, 3], 4)
    count = sum(1 for _ in pickletools.genops(content))
    assert heard(content, count)[3]
    _, _, machine, is_complete = heard(content, count - 1)
    assert not is_complete
    assert machine.steps == count - 1


def dumped(value, **settings):
    """Return what joblib writes."""
    file = io.BytesIO()
    joblib.dump(value, file, **settings)
    return file.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_between_opcodes_are_skipped(protocol):
    """To the byte: what stands behind is heard, in each protocol."""
    arrays = [np.ones(n, dtype=kind) for n in (0, 1, 7, 1000) for kind in "bBhHiIlLqQefdgFDG?"]
    arrays += [
        np.array([dt.date(2020, 1, 1), None]),
        np.array(["a", "bcd"]),
        np.array(b"xyz"),
    ]
    arrays += [np.zeros((2, 3, 4), order="F"), np.zeros(3, "i4,f8,S3"), np.zeros((0, 9))]
    for array in arrays:
        content = dumped([array, decimal.Decimal(1)], protocol=protocol)
        names, _, _, is_complete = heard(content)
        assert is_complete, (array.dtype, array.shape)
        assert ("decimal", "Decimal") in names


def test_an_array_that_is_cut_or_not_described_breaks_the_run():
    """It does not pass for a whole one."""
    content = dumped([np.arange(1000.0), decimal.Decimal(1)])
    at = content.index(np.arange(1000.0).tobytes())
    assert not heard(content[: at + 100])[3]
    assert not heard(content[:at])[3]
    for wrong in (b"f8", b"shape", b"dtype"):
        assert not heard(content.replace(wrong, b"?" * len(wrong), 1))[3], wrong


def test_arrays_without_an_alignment_are_those_of_an_older_joblib():
    """Before 1.1 no byte of padding stood before the array."""
    array = np.arange(4.0)
    wrapper = NumpyArrayWrapper(np.ndarray, array.shape, "C", array.dtype)
    for key, padding in ((None, b""), (16, b"\x03\x00\x00\x00")):
        wrapper.numpy_array_alignment_bytes = key
        head = pickle.dumps([wrapper, fractions.Fraction(1)], 2)
        # The array's bytes come right behind the opcode that gives the wrapper its state.
        at = [p + 1 for op, _, p in pickletools.genops(head) if op.name == "BUILD"][-1]
        content = head[:at] + padding + array.tobytes() + head[at:]
        names, _, _, is_complete = heard(content)
        assert is_complete, key
        assert ("fractions", "Fraction") in names


def test_pickles_in_pickles_have_an_end():
    """Arrays of objects that hold arrays of objects: deep is fine, without end is not."""

    def nested(depth):
        value = np.array([None, 1], object)
        for _ in range(depth):
            value = np.array([value, 1], object)
        return value

    assert heard(dumped([nested(5), 1]))[3]
    wrapper = NumpyArrayWrapper(np.ndarray, (1,), "C", np.dtype(object))
    head = pickle.dumps(wrapper, 2)
    at = [p + 1 for op, _, p in pickletools.genops(head) if op.name == "BUILD"][-1]
    assert not heard(head[:at] * 100)[3]


def test_the_code_of_a_function_is_found():
    """By its type's name, however cloudpickle spells it; the first bytes are the opcodes."""
    made = b"\x80\x04c%s\n(K\x01C\x02\x97\x00C\x01xtR."
    assert heard(made % b"types\nCodeType")[2].code == b"\x97\x00"
    by_name = b"\x80\x04cm\n_builtin_type\n\x8c\x08CodeType\x85R(K\x01C\x02\x97\x00C\x01xtR."
    assert heard(by_name)[2].code == b"\x97\x00"
    assert heard(made % b"types\nOther")[2].code is None


def test_long_values_are_passed_over():
    """They are no names; what follows them is heard."""
    long = {"a": "x" * 70_000, "b": b"y" * 70_000, "c": bytearray(70_000), "d": 1}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        _, items, _, is_complete = heard(pickle.dumps([long, decimal.Decimal(1)], protocol))
        assert is_complete
        assert ("d", 1) in items
        # Protocol 2 has no opcode for bytes: they are a text, and a call that encodes it.
        assert len(dict(i for i in items if i[0] in "ab")["a"]) == 0

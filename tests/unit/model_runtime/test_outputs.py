"""What a model returns becomes strict JSON texts without newlines."""

import datetime as dt
import enum
import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model_runtime import outputs as outputs_module
from model_runtime.outputs import OutputError, render
from tests import strict_json

# Small, and made without throwing any away: a loaded machine takes seconds to make large ones.
TEXTS = st.text(max_size=12)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = PLAIN | TEXTS


def holding(inner):
    """Return lists and objects of values."""
    return st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5)


VALUES = st.recursive(SCALARS, holding, max_leaves=10)


def strict(text):
    """Parse JSON without Python's extras."""
    assert b"\n" not in text
    assert b"\r" not in text
    return strict_json.read(text)


@given(st.lists(PLAIN | holding(VALUES), min_size=1, max_size=5))
def test_json_values_round_trip(values):
    """Every JSON value that is no text comes out as it went in."""
    assert [strict(text) for text in render(values, len(values))] == values


JSONISH = st.lists(
    st.text(alphabet='0123456789.,-+eE "[]{}:ntrufalsNaIiy\n\r\t\\', max_size=12)
    | st.lists(
        st.sampled_from(
            [
                *("0", "-", ".", "e", "[", "]", "{", "}", ",", ":", '"', " ", "\n"),
                *("1e999", "NaN", "Infinity", "null", '"a"', r"\ud800", r"\udc00", r"\u00e9"),
                *("9" * 320, "\ufeff", "\x00", "\x7f", "\u2028", "\ud800"),
            ]
        ),
        max_size=8,
    ).map("".join),
    min_size=1,
)


@example(['"\ud800"'])
@given(JSONISH | st.lists(st.text(), min_size=1))
def test_texts_are_pasted_or_quoted_each_by_itself(texts):
    """A text is pasted exactly if it alone is strict JSON, whatever its neighbours are."""
    for text, rendered in zip(texts, render(texts, len(texts)), strict=True):
        is_pasted = strict_json.is_json(text)
        assert strict(rendered) == (json.loads(text) if is_pasted else whole(text))


def whole(text):
    """Return a text with what is no character replaced, as an answer holds it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(st.lists(st.lists(st.floats() | st.integers()), min_size=1))
def test_rows_of_numbers_round_trip(rows):
    """Lists of numbers come out as they went in, non-finite ones as words."""
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    wanted = [[words.get(repr(item), item) for item in row] for row in rows]
    assert [strict(text) for text in render(rows, len(rows))] == wanted


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["1,2", ""], ["1,2", ""]),
        (["1", "", "2"], [1, "", 2]),
        (["1]", "[2"], ["1]", "[2"]),
        (["1],[2", "3"], ["1],[2", 3]),
        (['"a', 'b"'], ['"a', 'b"']),
        (["{", "}"], ["{", "}"]),
        (["NaN", "1"], ["NaN", 1]),
        (["6.6", " 7 "], [6.6, 7]),
        (["1\n", "2"], [1, 2]),
        (['{"a":\n1}', "true"], [{"a": 1}, True]),
        (["cat", "1"], ["cat", 1]),
        (["1", "cat"], [1, "cat"]),
        (["01", "1."], ["01", "1."]),
        (["[NaN]", "1"], ["[NaN]", 1]),
        (['{"a":Infinity}', "2"], ['{"a":Infinity}', 2]),
        (["1e999", "2"], ["1e999", 2]),
        (['["\\ud800"]', '["\\ud83d\\ude00"]'], ['["\\ud800"]', ["\U0001f600"]]),
    ],
)
def test_texts_cannot_vouch_for_each_other(texts, wanted):
    """Texts that are JSON only when joined are not taken for JSON."""
    assert [strict(text) for text in render(texts, len(texts))] == wanted


@pytest.mark.parametrize("sign", ["1e999", "9" * 320 + ".0", '"\\ud800"', '"\ud800"'])
@pytest.mark.parametrize("blanks", [10, 10_000])
def test_what_others_cannot_read_is_found_in_a_text_of_any_length(sign, blanks):
    """Such a text is a string; one of the same length without it is pasted."""
    for number in (sign, "1e99"):
        text = f'[{" " * blanks},"",{number}]'.replace(",", "1,", 1)
        (rendered,) = render([text], 1)
        assert strict_json.is_json(text) == (number != sign)
        assert strict(rendered) == (json.loads(text) if number != sign else whole(text))


class Letter(str, enum.Enum):  # noqa: UP042  # models are older than StrEnum
    """A text with a name."""

    A = "a"


class ForeignDates:
    """Another library's column of dates whose `tolist` gives whole numbers."""

    dtype = np.dtype("M8[ns]")

    def tolist(self):
        """Return nanoseconds."""
        return [[1], [2]]


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        ([1.5, math.nan, math.inf, -math.inf], [1.5, "NaN", "Infinity", "-Infinity"]),
        (np.array([1.5, np.nan, -np.inf]), [1.5, "NaN", "-Infinity"]),
        (np.array([1, 2], dtype="u8"), [1, 2]),
        (np.array([[1.5, np.inf], [2, 3]]), [[1.5, "Infinity"], [2.0, 3.0]]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "1"]), ["a", 1]),
        (np.array([1, 2], dtype=np.longdouble), [1.0, 2.0]),
        (np.zeros((1, 2, 2)), [[[0.0, 0.0], [0.0, 0.0]]]),
        ([np.float64(1.5), np.float64("nan")], [1.5, "NaN"]),
        ([np.float32(1.5), np.int64(2)], [1.5, 2]),
        ([np.longdouble(1.5), np.longdouble(2)], [1.5, 2.0]),
        ([np.int8(1), np.int8(2)], [1, 2]),
        ([np.str_("7"), np.str_("x")], [7, "x"]),
        ([np.array([1, 2]), np.array([3])], [[1, 2], [3]]),
        ([{"p": np.float32(0.5), "q": [np.nan]}], [{"p": 0.5, "q": ["NaN"]}]),
        ([{np.int64(1): 2, math.nan: 3}], [{"1": 2, "NaN": 3}]),
        ([{"label": "1"}], [{"label": "1"}]),
        ([b"ab", [b"ab"]], ["YWI=", ["YWI="]]),
        ((1, "x", None, True), [1, "x", None, True]),
        ([True, False], [True, False]),
        ([[], []], [[], []]),
        ([[], [1]], [[], [1]]),
        ([(1, 2), (3, 4)], [[1, 2], [3, 4]]),
        (["\ud800", "\ud83d\ude00"], ["\ufffd", "\U0001f600"]),
        ([], []),
        ([Letter.A, [Letter.A]], ["a", ["a"]]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f4")]), [{"a": 1, "b": 2.5}]),
        (np.zeros((1, 2), dtype=[("a", "i4", 2)]), [[{"a": [0, 0]}, {"a": [0, 0]}]]),
        (np.zeros(1, "V2"), ["AAA="]),
        (np.array([b"ab"]), ["YWI="]),
        (np.ma.array([1.5, 2.5], mask=[False, True]), [1.5, None]),
        (np.ma.array([1, 2], mask=[False, True], dtype=np.longdouble), [1.0, None]),
        ([np.ma.masked], [None]),
        (np.array([0.1], dtype="f2"), [0.0999755859375]),
        ([np.datetime64("NaT", "ns"), np.datetime64("NaT")], ["NaT", "NaT"]),
        ([dt.date(2026, 1, 2), dt.time(3)], ["2026-01-02", "03:00:00"]),
        ([np.longdouble("inf")], ["Infinity"]),
    ],
)
def test_values_and_their_json(outputs, wanted):
    """Each kind of output has its JSON."""
    assert [strict(text) for text in render(outputs, len(wanted))] == wanted


UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
FINE = ("ns", "ps", "fs", "as")
DATES = st.integers(-1900, 7900)


@pytest.mark.parametrize("unit", UNITS)
@given(counts=st.lists(DATES, min_size=1))
def test_dates_are_the_same_texts_in_every_unit(unit, counts):
    """A date is never a number: it is the text that Python's own date gives, in any holder."""
    array = np.array(counts, dtype=f"M8[{unit}]")
    python_s = array.astype("M8[D]" if unit in "YMWD" else "M8[us]").tolist()
    wanted = [date.isoformat() for date in python_s]
    for outputs in (array, list(array), [[date] for date in array], [*array[:, None]]):
        for text, other in zip(render(outputs, len(counts)), wanted, strict=True):
            said = strict(text)
            said = said[0] if isinstance(said, list) else said
            digits = 19 if unit in FINE else None  # finer than Python's: what both have
            assert said[:digits] == other[:digits]


def test_an_instant_is_one_text_whoever_holds_it():
    """Python's date and numpy's of several units, also in records, objects, keys and masked."""
    instant = dt.datetime(2026, 11, 26, 8, 0, 0, 500000)  # noqa: DTZ001  # numpy has no zone
    text = "2026-11-26T08:00:00.500000"
    record = np.array([(instant, 1)], dtype=[("at", "M8[ns]"), ("n", "i2")])
    masked = np.ma.array(np.array([instant] * 2, "M8[ns]"), mask=[False, True])
    outputs = [instant, np.datetime64(instant, "ns"), np.array(instant, "M8[ms]"), record[0]]
    outputs += [masked, {instant: {np.datetime64(instant, "ns"): 1}}]
    assert [strict(o) for o in render(outputs, len(outputs))] == [
        *(text, text, text),
        {"at": text, "n": 1},
        [text, None],
        {text: {text: 1}},
    ]


class Colour(enum.IntEnum):
    """A whole number with a name."""

    RED = 1


def test_subclasses_of_numbers_are_numbers():
    """An IntEnum is the number that it is."""
    assert render([Colour.RED, 2.5], 2) == [b"1", b"2.5"]


class Odd:
    """A value whose `tolist` wants more than it is given."""

    def tolist(self, depth):
        """Return nothing."""


ENDLESS: list = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("outputs", "count", "words"),
    [
        ([1], 2, "returned 1 output for 2 inputs"),
        (np.zeros(3), 1, "returned 3 outputs for 1 input"),
        (6.6, 1, "type float"),
        (None, 1, "returned None"),
        ("ab", 2, "type str"),
        ({"a": 1}, 1, "type dict"),
        (np.float64(1), 1, "type float64"),
        ((x for x in [1]), 1, "type generator"),
        ([object()], 1, "type object"),
        ([{(1, 2): 3}], 1, "key of type tuple"),
        ([1j, 2j], 2, "type complex"),
        ([np.complex128(1)], 1, "type complex"),
        (np.array([1j]), 1, "type complex"),
        ([ENDLESS], 1, "contains itself"),
        (np.array([1], dtype="m8[ns]"), 1, "span of time"),
        ([np.timedelta64(1, "D")], 1, "span of time"),
        ([[dt.timedelta(1)]], 1, "span of time"),
        ([np.clongdouble(1)], 1, "type complex"),
        (np.array([(1, 1j)], dtype=[("a", "i4"), ("b", "c8")]), 1, "type complex"),
        ([np.longdouble("1e400")], 1, r"1e\+400, which is too large"),
        (np.array(["1e400"], dtype=np.longdouble), 1, "too large"),
        (ForeignDates(), 2, "dates or spans"),
        ([ForeignDates()], 1, "dates or spans"),
        ([10**5000], 1, "too long"),
        ([Odd()], 1, "cannot be written"),
        ([{"a": 10**5000}], 1, "cannot be written"),
        ([{1: "a", "1": "b"}], 1, 'two keys that are "1" in JSON'),
        ([[{"a": [{1.5: 0, "1.5": 0}]}]], 1, 'two keys that are "1.5"'),
        ([{None: 0, "null": 0}], 1, 'two keys that are "null"'),
        ([{"true": 0, True: 0}], 1, 'two keys that are "true"'),
        ([{float("nan"): 0, "NaN": 0}], 1, 'two keys that are "NaN"'),
        ([{-1: 0, "-1": 0, "x": float("inf")}], 1, 'two keys that are "-1"'),
        ([{np.int64(1): 0, "1": 0}], 1, 'two keys that are "1"'),
        ([{dt.date(2020, 1, 2): 0, "2020-01-02": 0}], 1, 'two keys that are "2020-01-02"'),
    ],
)
def test_what_is_refused(outputs, count, words):
    """What is not one JSON-able output an input is refused in one clear line."""
    with pytest.raises(OutputError, match=words) as caught:
        render(outputs, count)
    assert "\n" not in str(caught.value)


def test_long_lists_of_numbers_are_written_in_slices(monkeypatch):
    """One call would keep Python's lock for seconds, and no heartbeat would be answered."""
    monkeypatch.setattr(outputs_module, "_SLICE_ITEMS", 5)
    sizes = []
    number_text = outputs_module._number_text

    def noted(numbers):
        sizes.append(len(numbers))
        return number_text(numbers)

    monkeypatch.setattr(outputs_module, "_number_text", noted)
    rows = [[0.5, float("nan"), -2] * 7, [], [1], list(range(10))]
    texts = render(rows, 4)
    assert [json.loads(text) for text in texts] == [[0.5, "NaN", -2] * 7, [], [1], [*range(10)]]
    assert b" " not in b"".join(texts)
    assert max(sizes) == 5

"""Tests of what stands in for later Pythons: dates, annotations, keys; against Python's own."""

import datetime as dt
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from model_runtime import iso
from model_runtime.annotations import texts
from model_runtime.keys import decoded

ZONES = st.none() | st.integers(-1439, 1439).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)
TEXTS = [
    *("2026-11-26", "20261126", "2026-W48-4", "2026W484", "2026-W48", "2026-13-01", "2026-11", ""),
    *("2026-11-26T08", "2026-11-26T08:05", "20261126T080506", "2026-11-26 08:05:06.5"),
    *("2026-11-26T08:05:06Z", "2026-11-26T08:05:06+01", "2026-11-26T08:05:06-0130"),
    *("2026-11-26T08:05:06.123456789+01:00", "2026-11-26T08:05:06,25Z", "2026-11-26T25:00"),
    *("2026-11-26T", "2026-11-26T08:05:", "2026-11-26Tx", "today", "2026-11-26T08:05:06+25:00"),
    *("2026-W48-4T08:00", "20261126x08:00", "08:05", "T08:05", "0805", "08:05:06.1Z"),
]


def _comes(read, text):
    try:
        return read(text)
    except ValueError:
        return "refused"


@pytest.mark.parametrize("text", TEXTS)
def test_a_date_is_read_as_python_reads_it(text):
    """What Python 3.11 takes and refuses, older ones do."""
    assert _comes(iso.date_by_parts, text) == _comes(dt.date.fromisoformat, text)
    if text != "20261126":  # a time of day to Python, with a fraction that has no point
        assert _comes(iso.time_by_parts, text) == _comes(dt.time.fromisoformat, text)
    assert _comes(iso.datetime_by_parts, text) == _comes(dt.datetime.fromisoformat, text)


@given(st.datetimes(timezones=ZONES))
def test_what_is_written_is_read(moment):
    """Any date and time, with and without a zone."""
    assert iso.datetime_by_parts(moment.isoformat()) == moment
    assert iso.date_by_parts(moment.date().isoformat()) == moment.date()
    assert iso.time_by_parts(moment.timetz().isoformat()) == moment.timetz()


@given(st.binary(max_size=80).filter(lambda data: len(data) % 4 == 0))
def test_a_key_is_read_as_zeromq_reads_it(data):
    """Z85, which a replica without ZeroMQ reads itself."""
    assert decoded(z85.encode(data)) == data


@pytest.mark.parametrize("text", [b"abcd", b"abc~e", b"#####"])
def test_what_is_no_key_is_refused(text):
    """A cut one, another letter, and more than four bytes hold."""
    with pytest.raises((ValueError, KeyError)) as refused:
        decoded(text)
    assert refused.value.args


class Node:
    """A class that annotations name."""


@pytest.mark.parametrize(
    ("annotation", "meant"),
    [
        ("int | None", typing.Optional[int]),  # noqa: UP045 - what is meant
        ("list[int | str] | None", typing.Optional[list[typing.Union[int, str]]]),  # noqa: UP007, UP045
        ("list['Node']", list[Node]),
        ("dict[str, 'Node | None']", dict[str, typing.Optional[Node]]),  # noqa: UP045
        ("typing.Literal['int | None', 'Node']", typing.Literal["int | None", "Node"]),
        ("typing.Annotated['Node', 'a | b']", typing.Annotated[Node, "a | b"]),
        (list["Node"], list[Node]),
        (dict[str, list["Node"]], dict[str, list[Node]]),
        (typing.Optional[list["Node"]], typing.Optional[list[Node]]),  # noqa: UP045
        (typing.Literal["a", "b"], typing.Literal["a", "b"]),
        (int, int),
    ],
)
def test_an_annotation_is_read_as_later_pythons_do(annotation, meant):
    """Unions in texts, and texts inside of `list[…]`; values of Literal and Annotated stay."""
    space = type("Space", (), {"__annotations__": {"x": texts.readable(annotation)}})
    hints = typing.get_type_hints(space, globals(), texts.NAMES, include_extras=True)
    assert hints["x"] == meant


def test_a_text_that_is_none_is_left_to_who_evaluates_it():
    """He says what is wrong with it."""
    assert texts.readable("int |") == "int |"

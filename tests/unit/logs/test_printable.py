"""Texts that clients and models wrote, on their way to a log or a terminal."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.logs.printable import in_colour, in_json, on_lines, on_one_line

STEERING = [
    *("\n", "\r", "\0", "\x07", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"),
    *("\u202e", "\u2066", "\u200f", "\ud800"),
]
TEXTS = st.text(st.sampled_from([*STEERING, "a", " ", "é", "\t", "\\", "\U0001f600"]))


def does_steer(text: str) -> bool:
    """Whether anything is in it that a terminal, a pager or a reader of lines acts on."""
    return any(character in text for character in STEERING)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve 名前 😀", "plain, naïve 名前 😀"),
        ("a\nb\r\n", r"a\nb\r\n"),
        ("\x1b[2J\x9b2J\x7f\0", r"\x1b[2J\x9b2J\x7f\x00"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_steers_is_written_out(text, shown):
    """And nothing else is changed."""
    assert on_one_line(text) == shown


@given(TEXTS)
def test_nothing_that_steers_is_left_in_a_line(text):
    """Whatever the text is, it is one line that every encoding of Unicode takes."""
    shown = on_one_line(text)
    assert not does_steer(shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(TEXTS)
def test_of_several_lines_all_but_the_first_are_indented(text):
    """So that none of them can pass for what is written at the beginning of a line."""
    first, *others = on_lines(text, "  ").split("\n")
    assert not any(does_steer(line) for line in (first, *others))
    assert all(line.startswith("  ") for line in others)
    assert len(others) == text.count("\n")


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_json_says_the_same_without_steering(value):
    """Programs read the value that was meant, people see no trick."""
    shown = in_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not does_steer(shown)


def test_colours_of_a_model_stay_and_end_with_their_line():
    """All else that a terminal would act on is written out."""
    assert in_colour("plain\ttext") == "plain\ttext"
    assert in_colour("\x1b[1;31mred") == "\x1b[1;31mred\x1b[0m"
    assert in_colour("\x1b]0;title\x07\x1b[2J\x9b1mx") == r"\x1b]0;title\x07\x1b[2J\x9b1mx"


@given(TEXTS)
def test_nothing_but_colours_of_a_model_reaches_a_terminal(text):
    """An escape is the beginning of a colour or is written out."""
    assert not does_steer(re.sub(r"\x1b\[[0-9;:]*m", "", in_colour(text)))

"""How lines look on a terminal and elsewhere."""

import sys

import pytest

from servd.cli import output
from servd.cli.output import Output


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stdout and stderr pass for a terminal."""

    def pretend():
        # In the test itself: capsys has its own streams in place only then.
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")

    return pretend


def made(**changes):
    """Return an Output with these options."""
    return Output(**{"is_json": False, "is_quiet": False, "no_color": False} | changes)


def test_steps_are_plain_lines_elsewhere(capsys):
    """No mark, no time: what a log keeps."""
    made().step("bundled", "func.py", 12.0)
    made().failed_step("loading", "x")
    assert capsys.readouterr().out == "bundled   func.py\n"


def test_steps_have_marks_and_times_on_a_terminal(capsys, terminal):
    """A tick and milliseconds; a cross where it failed."""
    terminal()
    made().step("bundled", "func.py", 12.4)
    made().failed_step("loading", "nothing changed")
    done, failed = capsys.readouterr().out.splitlines()
    assert "✓" in done
    assert done.endswith("12 ms")
    assert "✗" in failed


def test_no_color_takes_the_colours_and_leaves_the_marks(capsys, monkeypatch, terminal):
    """NO_COLOR and --no-color are the same."""
    terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    made().step("live", "m:1")
    monkeypatch.delenv("NO_COLOR")
    made(no_color=True).step("live", "m:1")
    assert capsys.readouterr().out == "✓ live      m:1\n" * 2


def test_quiet_leaves_answers_and_warnings(capsys):
    """What was asked for is written all the same."""
    quiet = made(is_quiet=True)
    quiet.line("chatter")
    quiet.answer("answer")
    quiet.warning("careful")
    shown = capsys.readouterr()
    assert shown.out == "answer\n"
    assert shown.err == "warning: careful\n"


def test_a_warning_may_have_lines_that_are_pasted(capsys):
    """Code stays as it is, but for what steers a terminal."""
    made().warning("put this around it:\ncat > f.py <<'END'\n\tx\x1b[2J\nEND")
    made().line("one\ntwo")
    shown = capsys.readouterr()
    assert shown.err == "warning: put this around it:\ncat > f.py <<'END'\n\tx\\x1b[2J\nEND\n"
    assert shown.out == "one\\ntwo\n"


def test_a_table_is_never_cut(capsys, terminal):
    """A process id with an ellipsis helps nobody, however narrow the terminal is."""
    terminal()
    made().table(("NAME", "PID"), [("n" * 100, "4121")])
    head, row = capsys.readouterr().out.splitlines()
    assert "\x1b[1m" in head
    assert row == "n" * 100 + "  4121"


def test_the_spinner_goes_before_the_next_line(capsys, terminal):
    """It shows on a terminal that something goes on."""
    terminal()
    shown = made()
    shown.working("loading")
    shown.line("done")
    shown.settle()
    assert "done\n" in capsys.readouterr().out


def test_json_mode_writes_documents_only(capsys):
    """Lines and warnings are not for programs."""
    shown = made(is_json=True)
    shown.line("x")
    shown.warning("x")
    shown.working("x")
    shown.record({"a": "ü"})
    shown.result([1], "text")
    captured = capsys.readouterr()
    assert captured.out == '{"a": "ü"}\n[\n  1\n]\n'
    assert captured.err == ""


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (output.milliseconds(1.26), "1.3ms"),
        (output.milliseconds(None), "-"),
        (output.number(9.94), "9.9"),
        (output.number(812.4), "812"),
        (output.number(None), "-"),
        (output.percent(0.123), "12.3%"),
        (output.percent(None), "-"),
        (output.size(41_000_000), "41 MB"),
        (output.size(None), "-"),
        (output.duration(12), "12 s"),
        (output.duration(180), "3 min"),
        (output.duration(7200), "2 h"),
        (output.duration(432000), "5 d"),
    ],
)
def test_figures_are_short(shown, text):
    """As people read them."""
    assert shown == text

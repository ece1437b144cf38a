"""The places of a file that scripts/mutate.py changes."""

import ast
from pathlib import Path

import pytest

from scripts.mutants import mutants_of

ROOT = Path(__file__).resolve().parents[3]


def changes(source: str) -> list[str]:
    """Return what the mutants of a source change, in order."""
    return [mutant.change for mutant in mutants_of(source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["< -> <=", "< -> >="]),
        ("a != b", ["!= -> =="]),
        ("a not in b", ["not in -> in"]),
        ("a is not None", ["is not -> is"]),
        ("f(a) and b", ["and -> or"]),
        ("not a", ["not removed"]),
        ("(a) + (b)", ["+ -> -"]),
        ("a // b", ["// -> *"]),
        ("a += b", ["+ -> -"]),
        ("f(3)", ["removed", "3 -> 4"]),
        ("f(1)", ["removed", "1 -> 0", "1 -> 2"]),
        ("f(True)", ["removed", "True -> False"]),
        ("min(a)", ["min -> max", "removed"]),
        ("x = max(a)", ["max -> min"]),
        ("raise a", ["removed"]),
        ("for a in b:\n    break", ["break -> continue"]),
        ("for a in b:\n    continue", ["continue -> break"]),
        ("def f():\n    return g()", ["return None"]),
        ("def f():\n    return a == b", ["negated", "== -> !="]),
        ("def f(self):\n    self.a = b", ["removed"]),
        ("if a:\n    b", ["negated"]),
        ("if a < b:\n    c", ["< -> <=", "< -> >="]),
        ("while a:\n    b", ["negated"]),
        ("a if b else c", ["negated"]),
        ("def f(a=3):\n    pass", ["3 -> 4"]),
    ],
)
def test_each_kind_of_change_is_found(source: str, expected: list[str]) -> None:
    """Every kind of place has its changes."""
    assert sorted(changes(source)) == sorted(expected)


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring with 3 < 4."""',
        "a: int | None",
        "@decorator(3)\ndef f():\n    pass",
        'x = f"{a + 1}"',
        "if TYPE_CHECKING:\n    x = 1 + 2",
        "LIMIT = 1 << 20",
        "x = isinstance(a, int | str)",
        "def f():\n    return None",
        "while True:\n    pass",
    ],
)
def test_what_no_test_can_hold_is_left_out(source: str) -> None:
    """Docstrings, types, decorators, messages and tuning are not changed."""
    assert changes(source) == []


def test_a_repeated_change_of_a_line_is_told_apart() -> None:
    """Two equal changes of one line have different names, by which one can be accepted."""
    assert changes("a == b == c") == ["== -> !=", "== -> != (2)"]


def test_every_mutant_of_this_repository_is_another_program() -> None:
    """Each mutant parses, and differs from the file by what it says."""
    source = (ROOT / "servd/quantities.py").read_bytes()
    before = ast.dump(ast.parse(source))
    found = mutants_of(source)
    assert len(found) > 50
    for mutant in found:
        assert ast.dump(ast.parse(mutant.applied(source))) != before, mutant
        assert mutant.source in source.splitlines()[mutant.line - 1].decode()


def test_letters_beyond_ascii_do_not_move_the_place() -> None:
    """Places are counted in bytes."""
    source = 'x = "é€"; y = a < b'.encode()
    first = mutants_of(source)[0]
    assert first.applied(source).decode() == 'x = "é€"; y = a <= b'

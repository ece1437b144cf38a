"""A rule of CONTRIBUTING.md that ruff does not know: a test says what it expects to be told."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SILENT = {"asyncio.CancelledError", "TimeoutError", "NotImplementedError"}
"""What is raised without a message."""


def bare_raises(source: str) -> Iterator[int]:
    """Yield the lines with a pytest.raises that takes any message of its exception."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.With | ast.AsyncWith):
            continue
        for item in node.items:
            call = item.context_expr
            if (
                isinstance(call, ast.Call)
                and ast.unparse(call.func) in {"pytest.raises", "raises"}
                and item.optional_vars is None
                and not any(keyword.arg in {"match", "check"} for keyword in call.keywords)
                and not (call.args and ast.unparse(call.args[0]) in SILENT)
            ):
                yield call.lineno


def test_a_bare_raises_is_found() -> None:
    """An exception of that kind for another reason would pass."""
    source = """
with pytest.raises(ValueError):
    f()
with pytest.raises(ValueError, match="x"), pytest.raises(KeyError):
    f()
with pytest.raises(ValueError) as caught:
    f()
with pytest.raises(TimeoutError):
    f()
"""
    assert [*bare_raises(source)] == [2, 4]


def test_every_raises_of_the_tests_names_what_it_expects() -> None:
    """It has `match=`, or a name by which the test looks at what was raised."""
    found = [
        f"{file.relative_to(TESTS)}:{line}"
        for file in sorted(TESTS.rglob("*.py"))
        if "models" not in file.parts
        if "raises(" in (source := file.read_text())
        for line in bare_raises(source)
    ]
    assert not found, "add match= or `as`"

"""Tests that what runs in replicas is Python 3.9's, also where no such Python is here to say so."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import model_runtime

FOLDER = Path(model_runtime.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))

TOO_NEW = {
    *("asyncio.Runner", "asyncio.TaskGroup", "asyncio.timeout", "builtins.anext", "builtins.aiter"),
    *("contextlib.aclosing", "contextlib.chdir", "dataclasses.KW_ONLY", "datetime.UTC"),
    *("enum.StrEnum", "enum.EnumType", "enum.member", "enum.verify", "hashlib.file_digest"),
    *("importlib.metadata.packages_distributions", "inspect.get_annotations"),
    *("inspect.getasyncgenstate", "inspect.markcoroutinefunction", "itertools.batched"),
    *("itertools.pairwise", "math.cbrt", "math.exp2", "math.sumprod", "operator.call"),
    *("os.eventfd", "os.eventfd_read", "os.eventfd_write", "os.EFD_CLOEXEC", "os.EFD_NONBLOCK"),
    *("os.process_cpu_count", "os.unshare", "sys.activate_stack_trampoline", "sys.exception"),
    *("sys.monitoring", "sys.orig_argv", "sys.stdlib_module_names", "threading.gettrace"),
    *("time.clock_nanosleep", "tomllib.load", "tomllib.loads", "types.EllipsisType"),
    *("types.NoneType", "types.UnionType", "typing.Concatenate", "typing.LiteralString"),
    *("typing.Never", "typing.NotRequired", "typing.ParamSpec", "typing.Required", "typing.Self"),
    *("typing.TypeAlias", "typing.TypeGuard", "typing.Unpack", "typing.assert_never"),
    *("typing.dataclass_transform", "typing.is_typeddict", "typing.override", "typing.reveal_type"),
}
"""What Python 3.10 to 3.13 brought."""
METHODS = {"add_note", "hardlink_to", "walk_up", "bit_count", "is_junction", "with_segments"}
"""Of objects: no module tells them."""
BUILTINS = {"anext", "aiter", "ExceptionGroup", "BaseExceptionGroup", "EncodingWarning"}
TYPES = {"int", "str", "bytes", "float", "bool", "list", "dict", "tuple", "set", "memoryview"}


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in FILES:
        yield str(path.relative_to(FOLDER)), ast.parse(path.read_bytes())


def _guarded(tree: ast.Module) -> set[int]:
    """Return the lines that are for some Pythons only, or for type checkers."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and (
            "version_info" in ast.unparse(node.test) or "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            lines.update(range(node.lineno, (node.end_lineno or 0) + 1))
    return lines


def _imported(tree: ast.Module) -> set[str]:
    """Return the names that a file has from elsewhere, and not from Python."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("model_runtime")
        for alias in node.names
    }


def too_new(tree: ast.Module) -> list[str]:
    """Return what of a file Python 3.9 lacks, and where."""
    guarded, own = _guarded(tree), _imported(tree)
    found = []
    for node in ast.walk(tree):
        words: list[str] = []
        if isinstance(node, ast.Attribute):
            words = [ast.unparse(node)]
            if node.attr in METHODS:
                words.append(f"*.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and not node.level:
            words = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Name) and node.id in BUILTINS - own:
            words = [f"builtins.{node.id}"]
        elif isinstance(node, ast.Call):
            words = _too_new_call(node, own)
        bad = [
            word for word in words if word in TOO_NEW or word.startswith(("*.", "builtins.", "?"))
        ]
        line = getattr(node, "lineno", 0)
        if bad and line not in guarded:
            found.append(f"{line}: {', '.join(bad)}")
    return found + [f"{line}: a union of types" for line in _unions(tree) if line not in guarded]


def _too_new_call(node: ast.Call, own: set[str]) -> list[str]:
    name = ast.unparse(node.func)
    given = {keyword.arg for keyword in node.keywords}
    if name == "zip" and "strict" in given and "zip" not in own:
        return ["?zip(strict=…)"]
    if name.endswith("dataclass") and given & {"slots", "kw_only"} and name not in own:
        return ["?dataclass(slots=…)"]
    if name.endswith("print_exception") and len(node.args) == 1:
        return ["?print_exception of one argument"]
    if name.endswith((".to_bytes", ".from_bytes")) and len(node.args) + len(given) < 2:
        return ["?to_bytes without an order"]
    return []


def _has_unions(tree: ast.Module) -> bool:
    """Tell whether a file is annotated with `A | B`."""
    return any(
        isinstance(inner, ast.BinOp)
        for node in ast.walk(tree)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(part, ast.AST)
        for inner in ast.walk(part)
    )


def _unions(tree: ast.Module) -> Iterator[int]:
    """Yield the lines of `A | B` of types that is not in an annotation."""
    notes = {
        id(inner)
        for node in ast.walk(tree)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(part, ast.AST)
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)):
            continue
        sides = [node.left, node.right]
        is_of_types = any(
            (isinstance(side, ast.Name) and side.id in TYPES)
            or (isinstance(side, ast.Constant) and side.value is None)
            or (isinstance(side, ast.Subscript) and ast.unparse(side.value).lower() in TYPES)
            for side in sides
        )
        if is_of_types and id(node) not in notes:
            yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_file_is_python_39(path: Path) -> None:
    """Its syntax is, its annotations are texts, and of the library it takes what is there."""
    source = path.read_text()
    tree = ast.parse(source, feature_version=(3, 9))

    assert not too_new(tree)
    if _has_unions(tree):
        assert "from __future__ import annotations" in source


@pytest.mark.parametrize(
    "line",
    [
        "import os\nos.eventfd(0)",
        "from typing import Self",
        "from itertools import pairwise",
        "x = int | None",
        "X = list[int] | dict",
        "isinstance(x, str | bytes)",
        "zip(a, b, strict=True)",
        "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass A: ...",
        "from dataclasses import dataclass\n@dataclass(kw_only=True)\nclass A: ...",
        "import traceback\ntraceback.print_exception(error)",
        "error.add_note('x')",
        "raise ExceptionGroup('x', [])",
        "(3).to_bytes()",
    ],
)
def test_what_is_too_new_is_found(line: str) -> None:
    """The check knows what it looks for."""
    assert too_new(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        "def f(x: int | None) -> str | None: ...",
        "from model_runtime.older import zip\nzip(a, b, strict=True)",
        "from model_runtime.older import dataclass\n@dataclass(slots=True)\nclass A: ...",
        "x = {} | {'a': 1}",
        "import sys\nif sys.version_info >= (3, 11):\n    from typing import Self",
    ],
)
def test_what_is_old_enough_is_let_be(line: str) -> None:
    """Neither annotations nor what is asked for its Python first are found."""
    assert not too_new(ast.parse(line))


def test_syntax_that_is_too_new_is_refused() -> None:
    """Python reads a file as 3.9 would, as far as it can."""
    for source in ("match x:\n    case 1: ...", "try: ...\nexcept* ValueError: ..."):
        with pytest.raises(SyntaxError, match="only supported in Python 3"):
            ast.parse(source, feature_version=(3, 9))
    assert sys.version_info >= (3, 11)

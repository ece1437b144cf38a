"""Works out the paths that a Python file names, without running it. Used by reading.py.

`Path(__file__).parent / "data"`, `os.path.join(HERE, "..", "weights")` and the like: whatever is
made of literals, of `__file__`, of the working directory and of names that were given one of these.
"""

import ast
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

_DEPTH: Final = 40
_MAX_TEXT: Final = 4096
_MAKERS: Final = frozenset({"Path", "PosixPath", "PurePath", "PurePosixPath"})
_SAME: Final = frozenset({"str", "fspath", "fsdecode", "as_posix", "normpath", "normcase"})
_ABSOLUTE: Final = frozenset({"abspath", "absolute"})
_REAL: Final = frozenset({"realpath", "resolve"})
_JOINERS: Final = frozenset({"join", "joinpath"})
_WORKING: Final = frozenset({"getcwd", "cwd"})
MODULES: Final = frozenset({"os", "path", "osp", "posixpath", "fs"})
"""Names by which the functions of os.path are called; anything else before a dot is a path."""
_WORDS: Final = {"pardir": "..", "curdir": ".", "sep": "/"}


def called(node: ast.Call) -> str:
    """Return the last name of what is called: `join` of `os.path.join(…)`."""
    return last_name(node.func)


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name, or an empty text."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class Evaluator:
    """Evaluates expressions of one file as texts; None is what only a run would tell.

    Args:
        file: the file, absolute.
        cwd: the folder that a relative path starts from when it is made absolute.
        names: what names and attributes (`self.folder`) were assigned in the file.
        unknown: stands for what only a run would tell in the rest of a path.
    """

    def __init__(
        self, file: Path, cwd: Path, names: Mapping[str, ast.expr], unknown: str | None = None
    ) -> None:
        self._file = file
        self._cwd = cwd
        self._names = names
        self._unknown = unknown

    def text(self, node: ast.expr, depth: int = 0) -> str | None:
        """Return the text that an expression makes."""
        evaluate = _EVALUATORS.get(type(node))
        if evaluate is None or depth > _DEPTH:
            return None
        found = evaluate(self, node, depth + 1)
        return found if found is not None and len(found) <= _MAX_TEXT else None

    def _rest(self, node: ast.expr, depth: int) -> str | None:
        """Return the text of what follows in a path."""
        text = self.text(node, depth)
        return self._unknown if text is None else text

    def _constant(self, node: ast.Constant, _depth: int) -> str | None:
        return node.value if isinstance(node.value, str) else None

    def _name(self, node: ast.Name, depth: int) -> str | None:
        if node.id == "__file__":
            return str(self._file)
        return self._assigned(node.id, depth)

    def _assigned(self, name: str, depth: int) -> str | None:
        given = self._names.get(name)
        return None if given is None else self.text(given, depth)

    def _attribute(self, node: ast.Attribute, depth: int) -> str | None:
        if node.attr == "parent":
            return self._parent(node.value, 1, depth)
        if node.attr in _WORDS and last_name(node.value) in {"os", "path"}:
            return _WORDS[node.attr]
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        return self._assigned(f"{owner}.{node.attr}", depth) if owner else None

    def _parent(self, node: ast.expr, levels: int, depth: int) -> str | None:
        text = self.text(node, depth)
        if text is None:
            return None
        path = Path(text)
        for _ in range(levels):
            path = path.parent
        return str(path)

    def _subscript(self, node: ast.Subscript, depth: int) -> str | None:
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        is_parents = isinstance(node.value, ast.Attribute) and node.value.attr == "parents"
        if not is_parents or not isinstance(index, int) or not 0 <= index < _DEPTH:
            return None
        return self._parent(node.value.value, index + 1, depth)  # type: ignore[attr-defined]

    def _operation(self, node: ast.BinOp, depth: int) -> str | None:
        left, right = self.text(node.left, depth), self._rest(node.right, depth)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Div):
            return os.path.join(left, right)  # noqa: PTH118 - texts, as the file has them
        return left + right if isinstance(node.op, ast.Add) else None

    def _joined(self, node: ast.JoinedStr, depth: int) -> str | None:
        parts = [
            self._rest(part.value if isinstance(part, ast.FormattedValue) else part, depth)
            for part in node.values
        ]
        return None if None in parts else "".join(map(str, parts))

    def _call(self, node: ast.Call, depth: int) -> str | None:
        name = called(node)
        if name in _WORKING and not node.args:
            return str(self._cwd)
        rest = self._rest if name in _JOINERS else self.text
        values = [rest(argument, depth) for argument in node.args]
        is_method = name not in _MAKERS and isinstance(node.func, ast.Attribute)
        if is_method and last_name(node.func.value) not in MODULES:  # type: ignore[attr-defined]
            values.insert(0, self.text(node.func.value, depth))  # type: ignore[attr-defined]
        if not values or None in values or node.keywords:
            return None
        return self._made(name, [str(value) for value in values])

    def _made(self, name: str, values: list[str]) -> str | None:
        path = values[0]
        if name in _MAKERS or name in _JOINERS:
            return os.path.join(*values)  # noqa: PTH118
        if name in _SAME:
            return path
        if name in _ABSOLUTE:
            return os.path.normpath(self._cwd / path)
        if name in _REAL:
            return os.path.realpath(self._cwd / path)
        if name == "dirname":
            return os.path.dirname(path)  # noqa: PTH120
        return _changed(name, Path(path), values[1:])


def _changed(name: str, path: Path, values: list[str]) -> str | None:
    """Return a path with another name or ending, or as a URI."""
    if name == "as_uri":
        return f"file://{path}"
    try:
        if name == "with_name" and values:
            return str(path.with_name(values[0]))
        if name == "with_suffix" and values:
            return str(path.with_suffix(values[0]))
    except ValueError:
        return None
    return None


_EVALUATORS: Final[dict[type[ast.expr], Callable[..., str | None]]] = {
    ast.Constant: Evaluator._constant,  # noqa: SLF001 - a table of its own methods
    ast.Name: Evaluator._name,  # noqa: SLF001
    ast.Attribute: Evaluator._attribute,  # noqa: SLF001
    ast.Subscript: Evaluator._subscript,  # noqa: SLF001
    ast.BinOp: Evaluator._operation,  # noqa: SLF001
    ast.JoinedStr: Evaluator._joined,  # noqa: SLF001
    ast.Call: Evaluator._call,  # noqa: SLF001
}

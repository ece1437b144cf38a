"""Finds the places of a Python file where one small change should make a test fail.

Called by mutate.py, which makes the changes. A mutant is one change of one place. Left out is what
no test of behaviour can hold: docstrings, annotations, decorators, f-strings, `if TYPE_CHECKING`,
and a module's constants in capitals, which are tuning that a test would only copy.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: (r"<", ("<=", ">=")),
    ast.LtE: (r"<=", ("<", ">")),
    ast.Gt: (r">", (">=", "<=")),
    ast.GtE: (r">=", (">", "<")),
    ast.Eq: (r"==", ("!=",)),
    ast.NotEq: (r"!=", ("==",)),
    ast.Is: (r"\bis\b", ("is not",)),
    ast.IsNot: (r"\bis\s+not\b", ("is",)),
    ast.In: (r"\bin\b", ("not in",)),
    ast.NotIn: (r"\bnot\s+in\b", ("in",)),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: (r"-", "+"),
    ast.Mult: (r"\*", "/"),
    ast.Div: (r"/", "*"),
    ast.FloorDiv: (r"//", "*"),
    ast.Mod: (r"%", "*"),
    ast.BitAnd: (r"&", "|"),
    ast.BitOr: (r"\|", "&"),
    ast.LShift: (r"<<", ">>"),
    ast.RShift: (r">>", "<<"),
}
_OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TRUTH = (ast.Compare, ast.BoolOp)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the bytes from `start` to `end` of the file become `text`."""

    start: int
    end: int
    text: str
    line: int
    """Of the changed place, counted from 1."""
    function: str
    """Its qualified name, or <module>."""
    change: str
    """Such as `< -> <=`; told apart by a number where one line has it more than once."""
    source: str
    """The line as it stands."""

    def applied(self, source: bytes) -> bytes:
        """Return the file with this change."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(source: bytes) -> list[Mutant]:
    """Return all mutants of a file in the order of its lines."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    found = sorted(finder.found, key=lambda mutant: (mutant.start, mutant.end, mutant.text))
    return list(_numbered(mutant for mutant in found if _is_a_change(mutant, source)))


def _is_a_change(mutant: Mutant, source: bytes) -> bool:
    try:
        return ast.dump(ast.parse(mutant.applied(source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def _numbered(found: Iterator[Mutant]) -> Iterator[Mutant]:
    seen: Counter[tuple[str, str, str]] = Counter()
    for mutant in found:
        key = (mutant.function, mutant.source, mutant.change)
        seen[key] += 1
        yield mutant if seen[key] == 1 else replace(mutant, change=f"{mutant.change} ({seen[key]})")


class _Finder(ast.NodeVisitor):
    """Collects the mutants of one file; the caller visits its tree."""

    def __init__(self, source: bytes) -> None:
        self.found: list[Mutant] = []
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._scope: list[str] = []

    # Where we are.

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._enter(node.name, node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._enter(node.name, [*node.args.defaults, *filter(None, node.args.kw_defaults)])
        self._enter(node.name, node.body)

    def _enter(self, name: str, nodes: list[ast.stmt] | list[ast.expr]) -> None:
        self._scope.append(name)
        for node in nodes:
            self.visit(node)
        self._scope.pop()

    # What is left out.

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave f-strings alone: they are for people, and Python 3.11 misplaces their parts."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and not self._is_tuning(node.target):
            self.visit(node.value)

    def _is_tuning(self, target: ast.expr) -> bool:
        return not self._scope and isinstance(target, ast.Name) and target.id.isupper()

    # Statements.

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self._negate(node.test)
            self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._negate(node.test)
            self.generic_visit(node)
        else:
            for inner in node.body:
                self.visit(inner)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call | ast.Await):
            self._replace(node, "pass", "removed")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if self._is_tuning(node.targets[0]):
            return
        if self._scope and self._scope[-1] != "__init__":
            target = node.targets[0]
            # Without it the name would be unknown, which every test that passes here finds.
            if isinstance(target, ast.Attribute | ast.Subscript):
                self._replace(node, "pass", "removed")
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._replace(node, "pass", "removed")

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass", "removed")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue", "break -> continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break", "continue -> break")

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            return
        if isinstance(value, _TRUTH):
            self._replace(value, f"not ({self._text(value)})", "negated")
        elif not isinstance(value, ast.Constant):
            self._replace(value, "None", "return None")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._operator(node.target, node.value, node.op)
        self.visit(node.value)

    # Expressions.

    def visit_Compare(self, node: ast.Compare) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            pattern, others = _COMPARISONS[type(operator)]
            for other in others:
                self._between(left, right, pattern, other)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, rf"\b{old}\b", new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._operator(node.left, node.right, node.op)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, f"({self._text(node.operand)})", "not removed")
        elif isinstance(node.op, ast.USub):
            self._replace(node, f"({self._text(node.operand)})", "- removed")
            return
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _OPPOSITES:
            other = _OPPOSITES[node.func.id]
            self._replace(node.func, other, f"{node.func.id} -> {other}")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value), f"{value} -> {not value}")
        elif isinstance(value, int | float):
            for other in (value + 1, value - 1) if value in {1, 2} else (value + 1,):
                self._replace(node, repr(other), f"{value} -> {other}")

    # The change itself.

    def _negate(self, test: ast.expr) -> None:
        # The parts of the others are changed one by one.
        if not isinstance(test, ast.Compare) or len(test.ops) > 1:
            self._replace(test, f"(not ({self._text(test)}))", "negated")

    def _operator(self, left: ast.expr, right: ast.expr, operator: ast.operator) -> None:
        if isinstance(operator, ast.BitOr) and _is_type(left) and _is_type(right):
            return
        if type(operator) in _ARITHMETIC:
            pattern, other = _ARITHMETIC[type(operator)]
            self._between(left, right, pattern, other)

    def _between(self, left: ast.expr, right: ast.expr, pattern: str, other: str) -> None:
        after = self._place(left)[1]
        match = re.search(pattern.encode(), self._source[after : self._place(right)[0]])
        if match:
            old = match[0].decode()
            self._add(after + match.start(), after + match.end(), other, f"{old} -> {other}")

    def _replace(self, node: ast.expr | ast.stmt, text: str, change: str) -> None:
        self._add(*self._place(node), text, change)

    def _add(self, start: int, end: int, text: str, change: str) -> None:
        line = next(i for i, at in enumerate(self._starts) if at > start)
        source = self._lines[line - 1].decode().strip()
        function = ".".join(self._scope) or "<module>"
        self.found.append(Mutant(start, end, text, line, function, change, source))

    def _place(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[end_line - 1] + end_column,
        )

    def _text(self, node: ast.expr) -> str:
        start, end = self._place(node)
        return self._source[start:end].decode()


def _is_type(node: ast.expr) -> bool:
    """Say whether this may be half of a union of types, as in isinstance(x, int | str)."""
    if isinstance(node, ast.Constant):
        return node.value is None
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr) and _is_type(node.left)
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name[:1].isupper() or name in {"int", "str", "float", "bool", "bytes", "list", "dict"}

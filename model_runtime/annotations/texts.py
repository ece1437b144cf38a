"""Annotations that Python before 3.11 does not read: `int | None` in a text, `list["Node"]`.

Used by records.py. What is read is the same in each Python: before 3.10 there is no `|` of types,
and before 3.11 a text inside of `list[…]` stays one.
"""

from __future__ import annotations

import ast
import sys
import types
import typing
from typing import Any, Final

IS_READ_BY_PYTHON: Final = sys.version_info >= (3, 11)
_UNION: Final = "__servd_union__"
NAMES: Final = {_UNION: typing.Union}
"""What the texts of `readable` need beside the names that are there."""


def readable(annotation: Any) -> Any:
    """Return an annotation as any Python reads it."""
    if isinstance(annotation, str):
        return _rewritten(annotation)
    if isinstance(annotation, typing.ForwardRef):
        return _rewritten(annotation.__forward_arg__)
    return _without_texts(annotation)


def _rewritten(text: str) -> str:
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text  # whoever evaluates it says what is wrong
    return ast.unparse(_Rewriting().visit(tree))


class _Rewriting(ast.NodeTransformer):
    """Writes unions by name, and what texts inside of an annotation say in their place."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """`A | B`."""
        self.generic_visit(node)
        if not isinstance(node.op, ast.BitOr):
            return node
        members = ast.Tuple([node.left, node.right], ast.Load())
        return ast.Subscript(ast.Name(_UNION, ast.Load()), members, ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A text that stands for a type."""
        if not isinstance(node.value, str):
            return node
        try:
            inner = ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return node
        return typing.cast("ast.AST", self.visit(inner))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """`X[…]`, where what is beside a type in Annotated, and what Literal has, are values."""
        name = ast.unparse(node.value).rpartition(".")[2]
        inside: Any = node.slice
        if name == "Annotated" and isinstance(inside, ast.Tuple) and inside.elts:
            inside.elts[0] = self.visit(inside.elts[0])
        elif name != "Literal":
            self.generic_visit(node)
        return node


def _without_texts(annotation: Any) -> Any:
    """Return an annotation in which texts inside of `list[…]` are references, as Python has them
    inside of typing's own.
    """
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if not arguments or origin is typing.Literal:
        return annotation
    if isinstance(annotation, types.GenericAlias):
        inside = tuple(_referring(each) for each in arguments)
        return annotation if inside == arguments else types.GenericAlias(origin, inside)
    if origin is typing.Union:
        return typing.Union[tuple(_referring(each) for each in arguments)]
    if origin is typing.Annotated:
        made: Any = typing.Annotated
        return made[(_referring(arguments[0]), *annotation.__metadata__)]
    return annotation


def _referring(argument: Any) -> Any:
    if isinstance(argument, str):
        return typing.ForwardRef(_rewritten(argument))
    return _without_texts(argument)

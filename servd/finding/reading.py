"""What a Python file says that it needs, read and never run: imports, folders, files by name.

Used by modules.py and data.py. What only a run tells (a name that is computed) is found by the
fresh process that loads the file (model_runtime/discover.py).
"""

import ast
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Final

from servd.finding.paths import MODULES, Evaluator, called, last_name

_MAX_BYTES: Final = 4 << 20
"""A longer file is a table in the shape of code; parsing it would take seconds."""
_IMPORTERS: Final = frozenset({"import_module", "__import__"})
_OPENS_FOLDERS: Final = frozenset(
    {
        *("listdir", "scandir", "walk", "iterdir", "glob", "iglob", "rglob", "from_pretrained"),
        *("load", "load_model", "FileSystemLoader", "SentenceTransformer", "copytree"),
        *("StaticFiles", "Jinja2Templates", "create_static_files_router", "StaticFilesConfig"),
        *("TemplateConfig", "Flask", "Blueprint", "send_from_directory"),
    }
)
"""Calls that read a folder: the folder that they are given, or are a method of, is needed."""
_FOLDER_WORDS: Final = frozenset({"directory", "directories", "template_folder", "static_folder"})
"""Arguments by which web frameworks are given folders."""
_LISTS: Final = frozenset({"listdir", "scandir", "iterdir"})
_WRITES: Final = frozenset(
    {
        *("write_text", "write_bytes", "touch", "mkdir", "makedirs", "unlink", "remove", "rmtree"),
        *("to_csv", "to_json", "to_parquet", "to_pickle", "save", "savez", "savetxt", "dump"),
        *("FileHandler", "RotatingFileHandler", "TimedRotatingFileHandler"),
    }
)
"""Calls that make a file, or take one away: what they are given need not be there."""
_RESOURCES: Final = frozenset(
    {
        *("files", "get_data", "open_text", "open_binary", "read_text", "read_binary", "path"),
        *("contents", "resource_filename", "resource_string", "resource_stream"),
    }
)
_RESOURCE_OWNERS: Final = frozenset(
    {"resources", "importlib_resources", "pkgutil", "pkg_resources", ""}
)
_EDITS: Final = frozenset({"append", "insert", "extend"})


@dataclass(frozen=True, slots=True)
class Import:
    """A module that is imported. `level` counts the dots of a relative import.

    `is_prefix`: the name goes on in a way that only a run tells, so all below it is meant.
    """

    name: str
    level: int = 0
    is_prefix: bool = False


@dataclass(slots=True)
class Reading:
    """What one file says. Paths are as it has them: absolute, or relative to who knows what."""

    imports: list[Import] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    opened_folders: list[str] = field(default_factory=list)
    entered: list[str] = field(default_factory=list)
    """Folders that the code makes its working directory: names may be relative to them."""
    written: list[str] = field(default_factory=list)
    """Files that are made: their folders have to be there."""
    patterns: list[str] = field(default_factory=list)
    """What files are listed by, or what is known of a path whose name only a run tells."""
    resources: list[str] = field(default_factory=list)
    """Packages whose files are asked for by importlib.resources and its like; "" is its own."""
    optional: list[Import] = field(default_factory=list)
    """Those of the imports that the code does without where they fail."""


def read(file: Path, cwd: Path) -> Reading:
    """Return what a Python file says; nothing where it is not one."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            return Reading()
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return Reading()
    names = _assigned(tree)
    reader = _Reader(Evaluator(file, cwd, names), Evaluator(file, cwd, names, unknown="*"))
    try:
        for statement in tree.body:
            reader.visit(statement)
    except RecursionError:  # an expression of thousands of terms; what was read so far counts
        pass
    return reader.reading


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the first value of each name, and of each attribute as `self.name`.

    Of a parameter that is its default.
    """
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target: ast.expr | None = node.targets[0]
        else:
            target = node.target if isinstance(node, ast.AnnAssign) else None
        name = _target_name(target)
        value = getattr(node, "value", None)
        if name and isinstance(value, ast.expr):
            found.setdefault(name, value)
        if isinstance(node, ast.arguments):
            for parameter, default in _defaults(node):
                found.setdefault(parameter, default)
    return found


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Give the parameters of a function that have a default."""
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    for parameter, default in zip(with_default, arguments.defaults, strict=True):
        yield parameter.arg, default
    for parameter, keyword in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if keyword is not None:
            yield parameter.arg, keyword


def _target_name(target: ast.expr | None) -> str:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return f"{target.value.id}.{target.attr}"
    return ""


class _Reader(ast.NodeVisitor):
    """Collects what one file says while it walks over its statements."""

    def __init__(self, evaluator: Evaluator, with_gaps: Evaluator) -> None:
        self.reading = Reading()
        self._text = evaluator.text
        self._pattern = with_gaps.text

    def visit(self, node: ast.AST) -> None:
        """Note the path that an expression makes, or look inside."""
        if isinstance(node, ast.expr) and not isinstance(node, ast.Name):
            text = self._text(node)
            if text is not None:
                self.reading.files.append(text)
                return
            folder = self._begun(node)
            if folder:
                self.reading.opened_folders.append(folder)
            pattern = self._pattern(node)
            # A relative one is as often no path.
            if pattern is not None and pattern.startswith("/"):
                self.reading.patterns.append(pattern)
        super().visit(node)

    def _begun(self, node: ast.expr) -> str:
        """Return the folder in which a path lies whose name only a run tells."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return self._text(node.left) or ""
        if isinstance(node, ast.Call) and called(node) in ("join", "joinpath"):
            return self._known_start(node)
        prefix = self._prefix(node)
        return os.path.dirname(prefix) if "/" in prefix else ""  # noqa: PTH120

    def _known_start(self, node: ast.Call) -> str:
        """Return the parts that are joined before the first that only a run tells."""
        owner = _receiver(node)
        parts = node.args
        if owner is not None and last_name(owner) not in MODULES:
            parts = [owner, *parts]
        known = list(takewhile(lambda text: text is not None, map(self._text, parts)))
        return os.path.join(*filter(None, known)) if any(known) else ""  # noqa: PTH118 - as the file has them

    def visit_If(self, node: ast.If) -> None:
        """Leave out what only a script does, and what only type checkers read."""
        test = node.test
        is_script = isinstance(test, ast.Compare) and last_name(test.left) == "__name__"
        branches = node.orelse
        if not is_script and last_name(test) != "TYPE_CHECKING":
            self.visit(test)
            branches = [*node.body, *node.orelse]
        for statement in branches:
            self.visit(statement)

    def visit_Try(self, node: ast.Try) -> None:
        """Note which imports may fail."""
        before = len(self.reading.imports)
        for statement in node.body:
            self.visit(statement)
        if any(_is_for_imports(handler.type) for handler in node.handlers):
            self.reading.optional += self.reading.imports[before:]
            # What is taken instead is not there either, where the first is.
            before = len(self.reading.imports)
            for handler in node.handlers:
                self.visit(handler)
            self.reading.optional += self.reading.imports[before:]
        else:
            for handler in node.handlers:
                self.visit(handler)
        for each in (*node.orelse, *node.finalbody):
            self.visit(each)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave docstrings out."""
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Leave keys out: a column's name is no file."""
        self.visit(node.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        """Leave keys out."""
        for value in node.values:
            self.visit(value)

    def visit_Import(self, node: ast.Import) -> None:
        """Note `import a.b`."""
        self.reading.imports += [Import(alias.name) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note `from a import b`: b may be a module too."""
        base = node.module or ""
        if base:
            self.reading.imports.append(Import(base, node.level))
        for alias in node.names:
            if alias.name == "*":
                continue
            name = f"{base}.{alias.name}" if base else alias.name
            self.reading.imports.append(Import(name, node.level))

    def visit_Call(self, node: ast.Call) -> None:
        """Note imports by name, edits of sys.path, and folders that are read."""
        name = called(node)
        if name in _IMPORTERS and node.args:
            self.reading.imports += self._imported(node)
        elif name == "addsitedir" or (name in _EDITS and _is_sys_path(node.func)):
            self.reading.folders += self._folders(node.args)
            return
        elif name in _WRITES or (name == "open" and self._is_written(node)):
            self.reading.written += self._texts([_receiver(node), *node.args[:1]])
            self._visit_computed([node.func, *node.args])
            return
        elif name == "chdir":
            self.reading.entered += self._texts(node.args[:1])
        elif name in _OPENS_FOLDERS:
            self.reading.opened_folders += self._opened(node)
            self.reading.patterns += self._listed(name, node)
        elif name in _RESOURCES and node.args and _owner(node.func) in _RESOURCE_OWNERS:
            self.reading.resources.append(self._package(node.args[0]))
        self.generic_visit(node)

    def _package(self, node: ast.expr) -> str:
        """Return the package that is meant by a text, an imported module or __name__."""
        if last_name(node) in ("__name__", "__package__"):
            return ""
        text = self._text(node)
        return text if text is not None else last_name(node)

    def _is_written(self, node: ast.Call) -> bool:
        """Tell whether a call of open() only writes."""
        given = [word.value for word in node.keywords if word.arg == "mode"]
        given += node.args[0 if isinstance(node.func, ast.Attribute) else 1 :]
        mode = (self._text(given[0]) if given else None) or "r"
        return mode[0] in "wax" and "+" not in mode

    def _visit_computed(self, nodes: list[ast.expr]) -> None:
        """Look inside what makes no path itself."""
        for node in nodes:
            inner = node.value if isinstance(node, ast.Attribute) else node
            if self._text(inner) is None:
                self.visit(inner)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Note `sys.path[:0] = […]` and the like."""
        target = node.targets[0]
        base = target.value if isinstance(target, ast.Subscript) else target
        if isinstance(base, ast.Attribute) and _is_path(base):
            self.reading.folders += self._folders([node.value])
        else:
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Note `sys.path += […]`."""
        if _is_path(node.target):
            self.reading.folders += self._folders([node.value])
        else:
            self.generic_visit(node)

    def _imported(self, node: ast.Call) -> Iterator[Import]:
        """Give what import_module or __import__ is called with."""
        given = node.args[0]
        text = self._text(given)
        if text is not None:
            level = len(text) - len(text.lstrip("."))
            yield Import(text.lstrip("."), level)
            return
        prefix = self._prefix(given)
        if "." in prefix:
            level = len(prefix) - len(prefix.lstrip("."))
            yield Import(prefix.lstrip(".").rpartition(".")[0], level, is_prefix=True)

    def _prefix(self, node: ast.expr) -> str:
        """Return how a computed text begins: `plugins.` of f"plugins.{name}"."""
        if isinstance(node, ast.JoinedStr) and node.values:
            return self._text(node.values[0]) or ""
        if isinstance(node, ast.BinOp):
            return self._text(node.left) or self._prefix(node.left)
        is_format = isinstance(node, ast.Call) and called(node) == "format"
        if is_format and isinstance(node.func, ast.Attribute):  # type: ignore[attr-defined]
            return (self._text(node.func.value) or "").partition("{")[0]  # type: ignore[attr-defined]
        return ""

    def _folders(self, values: list[ast.expr]) -> Iterator[str]:
        for value in values:
            if isinstance(value, (ast.List, ast.Tuple)):
                yield from self._folders(value.elts)
            elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
                yield from self._folders([value.left, value.right])
            elif (text := self._text(value)) is not None:
                yield text

    def _texts(self, nodes: Iterable[ast.expr | None]) -> Iterator[str]:
        """Give the texts that expressions make, where reading tells."""
        for node in nodes:
            text = None if node is None else self._text(node)
            if text:
                yield text

    def _listed(self, name: str, node: ast.Call) -> Iterator[str]:
        """Give the patterns by which a call lists files."""
        owner = _receiver(node)
        folder = None if owner is None else self._text(owner)
        given = self._text(node.args[0]) if node.args else None
        if name in _LISTS:
            place = folder if name == "iterdir" else given
            if place is not None:
                yield os.path.join(place, "*")  # noqa: PTH118
        elif "*" in (given or ""):
            inner = f"**/{given}" if name == "rglob" else str(given)
            yield inner if folder is None else os.path.join(folder, inner)  # noqa: PTH118

    def _opened(self, node: ast.Call) -> Iterator[str]:
        """Give the folders that a call may read."""
        candidates = node.args[:1]
        if isinstance(node.func, ast.Attribute):
            candidates = [node.func.value, *candidates]
        named = [each.value for each in node.keywords if each.arg in _FOLDER_WORDS]
        for each in named:
            candidates += each.elts if isinstance(each, ast.List | ast.Tuple) else [each]
        for candidate in candidates:
            text = self._text(candidate)
            if text is not None:
                # `glob("texts/*.txt")` reads what stands before the first pattern.
                yield os.path.dirname(text.partition("*")[0]) if "*" in text else text  # noqa: PTH120


def _is_for_imports(caught: ast.expr | None) -> bool:
    """Tell whether a handler catches an import that fails."""
    each = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    names = {"" if one is None else last_name(one) for one in each}
    return not names.isdisjoint(
        {"", "ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    )


def _receiver(node: ast.Call) -> ast.expr | None:
    """Return what a method is called of."""
    return node.func.value if isinstance(node.func, ast.Attribute) else None


def _owner(function: ast.expr) -> str:
    return last_name(function.value) if isinstance(function, ast.Attribute) else ""


def _is_sys_path(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and _is_path(function.value)


def _is_path(node: ast.expr) -> bool:
    """Tell whether an expression is `sys.path`."""
    return (
        isinstance(node, ast.Attribute) and node.attr == "path" and last_name(node.value) == "sys"
    )

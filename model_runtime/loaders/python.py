"""Loads a function or a class of a Python file. `import_file` is used by discover.py too."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from model_runtime.loaders.base import LoadedModel, LoadError, called
from model_runtime.local_modules import package_folder
from model_runtime.manifest import Manifest

_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that a file of the bundle defines; see `loaders.load`."""
    module = import_file(files / manifest.file)
    target = find(module, manifest.object or "", manifest.file)
    if manifest.kind == "class":
        call = class_call(target, manifest.method, manifest.object or "")
    else:
        call = function_call(target, manifest.object or "")
    return called(call, manifest, {"object": manifest.object})


def import_file(path: Path) -> ModuleType:
    """Import a file as the module that the code around it would call it.

    That is the shortest dotted name from a folder of `sys.path` where the file is in a package,
    else its stem. A module of that name that is already there is not replaced.
    """
    name = _module_name(path)
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) != str(path):
        name = f"servd_model_{name}"
    package = name.rpartition(".")[0]
    if package:
        importlib.import_module(package)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path.name} is not a Python file", hint="its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _module_name(path: Path) -> str:
    """Return the dotted name of a file: its stem, below the packages that it is in."""
    package = package_folder(path)
    # The package must be importable, or the file stands alone.
    if package is None or str(package.parent) not in sys.path:
        return path.stem
    return ".".join(path.relative_to(package.parent).with_suffix("").parts)


def find(module: ModuleType, name: str, file: str) -> Any:
    """Return an object of a module by its dotted name.

    Raises:
        LoadError: it has none of that name; the hint names the nearest one.
    """
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"{file} has no '{name}'", hint=_near(module, name)) from None
    return found


def public_names(module: ModuleType) -> list[str]:
    """Return the functions and classes that a module defines itself, in the order of the file."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    ]


def _near(module: ModuleType, name: str) -> str:
    """Return "did you mean X?", or what there is."""
    names = public_names(module)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"it defines: {', '.join(names[:20])}" if names else "it defines no function or class"


def function_call(target: Any, name: str) -> Callable[[Any], Any]:
    """Return what is called with the inputs: the function itself, once it is fit for it."""
    if not callable(target):
        kind = type(target).__name__
        raise LoadError(f"'{name}' is a value of type {kind}, not a function or a class")
    if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
        raise LoadError(
            f"'{name}' is an async function", hint="servd calls plain functions: def, not async def"
        )
    needed = required_parameters(target)
    if needed is not None and (needed > 1 or max_parameters(target) == 0):
        raise LoadError(
            f"'{name}' cannot be called with one argument",
            hint="a function takes one argument, the list of inputs, and returns a list of outputs",
        )
    return target  # type: ignore[no-any-return]


def class_call(target: Any, method: str, name: str) -> Callable[[Any], Any]:
    """Make the class's one instance, call its `load()` if it has one, and return its method.

    A method that needs more than X gets names=[] and meta={}, as Seldon's classes expect.
    """
    instance = target() if isinstance(target, type) else target
    bound = getattr(instance, method, None)
    if not callable(bound):
        listed = ", ".join(callables_of(instance)) or "none"
        raise LoadError(
            f"'{name}' has no method '{method}'", hint=f"its methods are: {listed} (--method NAME)"
        )
    if inspect.iscoroutinefunction(bound):
        raise LoadError(f"'{name}.{method}' is async", hint="servd calls plain methods")
    if method != "load" and callable(getattr(instance, "load", None)):
        instance.load()
    needed = required_parameters(bound) or 1
    if needed > 3:
        raise LoadError(
            f"'{name}.{method}' needs {needed} arguments",
            hint="servd calls it with the inputs, and names=[] and meta={} where it needs them",
        )
    return _with_extras(bound, needed - 1)


def _with_extras(bound: Callable[..., Any], extras: int) -> Callable[[Any], Any]:
    """Return a call with one argument of a method that needs `extras` more."""
    if extras == 1:
        return lambda inputs: bound(inputs, [])
    return (lambda inputs: bound(inputs, [], {})) if extras else bound


def callables_of(value: Any) -> list[str]:
    """Return the public methods of a value."""
    return [
        name
        for name in dir(type(value))
        if not name.startswith("_") and callable(getattr(type(value), name, None))
    ]


def parameters(target: Any) -> list[inspect.Parameter] | None:
    """Return the parameters of a callable, or None where Python cannot tell (some written in C)."""
    try:
        return list(inspect.signature(target).parameters.values())
    except (ValueError, TypeError):
        return None


def required_parameters(target: Any) -> int | None:
    """Return how many arguments a callable needs, or None where Python cannot tell."""
    listed = parameters(target)
    if listed is None:
        return None
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(1 for p in listed if p.default is p.empty and p.kind not in variadic)


def max_parameters(target: Any) -> int:
    """Return how many positional arguments a callable takes; many for `*args` or unknown."""
    listed = parameters(target)
    if listed is None or any(p.kind is p.VAR_POSITIONAL for p in listed):
        return 100
    return sum(1 for p in listed if p.kind in _POSITIONAL)

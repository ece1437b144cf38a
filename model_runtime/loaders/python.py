"""Loads a function or a class of a Python file. `import_file` is used by discover.py too."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final

from model_runtime.litserve import stand_in
from model_runtime.loaders import functions
from model_runtime.loaders.base import LoadedModel, LoadedWeb, LoadError
from model_runtime.local_modules import package_folder
from model_runtime.manifest import LITSERVE, WEB_KINDS, WSGI, Manifest
from model_runtime.web.kinds import kind_of, named

RUN_BY: Final = ("uvicorn", "websockets", "a2wsgi")
"""What web applications need beside their own: servd has it, as far as it is for this Python."""


def load(manifest: Manifest, files: Path) -> LoadedModel | LoadedWeb:
    """Return the model that a file of the bundle defines; see `loaders.load`."""
    name = manifest.object or ""
    if manifest.kind in WEB_KINDS:
        return _web(manifest, files, name)
    module = import_file(files / manifest.file)
    target = find(module, name, manifest.file)
    if manifest.kind == LITSERVE:
        from model_runtime.loaders import litserve  # noqa: PLC0415  (few are)

        return litserve.load(made(target, manifest.parameters, name), manifest, name)
    if manifest.kind == "class":
        call = class_call(target, manifest.method, name, manifest.parameters)
    else:
        call = function_call(target, name)
    is_method = manifest.kind == "class"
    return functions.model_of(call, manifest, {"object": name}, is_method=is_method)


def _web(manifest: Manifest, files: Path, name: str) -> LoadedWeb:
    try:
        from model_runtime.web.serving import configure_logs  # noqa: PLC0415  (few need it)

        if manifest.kind == WSGI:
            importlib.import_module("model_runtime.web.wsgi")
    except ModuleNotFoundError as error:
        raise LoadError(
            f"a web application is run by {error.name}, which is not installed in {sys.prefix}",
            hint=f"{sys.executable} -m pip install {' '.join(RUN_BY)}",
        ) from error
    configure_logs()
    app = find(import_file(files / manifest.file), name, manifest.file)
    if kind_of(app) != manifest.kind:
        raise LoadError(f"'{name}' is no {manifest.kind.upper()} application in a replica")
    return LoadedWeb(app, manifest.kind, manifest.concurrency)


def import_file(path: Path) -> ModuleType:
    """Import a file as the module that the code around it would call it.

    That is the shortest dotted name from a folder of `sys.path` where the file is in a package,
    else its stem. A module of that name that is already there is not replaced.
    """
    stand_in.install()
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
    defined = public_names(module)
    names = [*(name for name in named(vars(module)) if name not in defined), *defined]
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"it defines: {', '.join(names[:20])}" if names else "it defines no function or class"


def function_call(target: Any, name: str) -> Callable[..., Any]:
    """Return the function that a name stands for."""
    if not callable(target):
        kind = type(target).__name__
        raise LoadError(f"'{name}' is a value of type {kind}, not a function or a class")
    return target  # type: ignore[no-any-return]


def class_call(
    target: Any, method: str, name: str, parameters: Mapping[str, Any] = MappingProxyType({})
) -> Callable[..., Any]:
    """Make the class's one instance, call its `load()` if it has one, and return its method."""
    instance = made(target, parameters, name)
    bound = getattr(instance, method, None)
    if not callable(bound):
        listed = ", ".join(callables_of(instance)) or "none"
        raise LoadError(
            f"'{name}' has no method '{method}'", hint=f"its methods are: {listed} (--method NAME)"
        )
    if method != "load":
        _prepare(instance)
    return bound  # type: ignore[no-any-return]


def instance_of(target: Any, parameters: Mapping[str, Any], name: str) -> Any:
    """Return the class's one instance, of which `load()` has been called if it has one."""
    if isinstance(target, type):
        _check_parameters(target, parameters, name)
    instance = made(target, parameters, name)
    _prepare(instance)
    return instance


def made(target: Any, parameters: Mapping[str, Any], name: str) -> Any:
    """Return an instance of a class, made with its deployer's parameters.

    Raises:
        LoadError: it does not take them, or needs others.
    """
    if not isinstance(target, type):
        if parameters:
            raise LoadError(
                f"'{name}' is made already, by its file: it takes no parameters",
                hint="leave --param out",
            )
        return target
    if parameters:
        _check_parameters(target, parameters, name)
    return target(**parameters)


def _check_parameters(target: type, parameters: Mapping[str, Any], name: str) -> None:
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):  # some that are written in C say nothing
        return
    try:
        signature.bind(**parameters)
    except TypeError as error:
        taken = [each for each in signature.parameters if each not in ("args", "kwargs")]
        said = f"its parameters are: {', '.join(taken)}" if taken else "it takes none"
        raise LoadError(
            f"'{name}' cannot be made: {error}", hint=f"{said} (--param NAME=VALUE:TYPE)"
        ) from None


def _prepare(instance: Any) -> None:
    prepare = getattr(instance, "load", None)
    if not callable(prepare):
        return
    prepared = prepare()
    if inspect.isawaitable(prepared):
        from model_runtime.async_calls import the_loop  # noqa: PLC0415  (as it says)

        the_loop().wait(prepared)


def callables_of(value: Any) -> list[str]:
    """Return the public methods of a value."""
    return [
        name
        for name in dir(type(value))
        if not name.startswith("_") and callable(getattr(type(value), name, None))
    ]

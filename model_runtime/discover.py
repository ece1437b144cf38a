"""Tells what a Python file holds: `python -m model_runtime.discover FILE [OBJECT]`.

The CLI runs it in a fresh process, in the user's folder, before it makes a bundle: the file is
imported as a replica will import it. One JSON line goes to standard output; what the file prints
goes to standard error.
"""

import importlib.metadata
import inspect
import json
import os
import platform
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from model_runtime import annotations, failure, local_modules
from model_runtime.failure import MODEL_ERRORS
from model_runtime.loaders import python as loader
from model_runtime.loaders.base import LoadError

_OWN_PACKAGE: Final = (__package__ or "model_runtime").partition(".")[0]


def discover(file: Path, name: str | None) -> dict[str, Any]:
    """Return what the CLI needs to know of a file, and of one object in it.

    Without `name`: `functions` and `classes` that the file defines. With it: `kind` (function or
    class), `input_type` and `as_lists` as the annotations say (None: unknown), `max_params`,
    `required_params`. Both: `root`, `file` and `sys_path` (relative to root), `modules` (absolute
    paths of the local files that were loaded), `packages` (versions), `python`. A failure gives
    `error` (message, traceback, hint) and, where the file could be loaded, `names`.
    """
    file = file.resolve()
    root = local_modules.project_root(file)
    # First the file's folder, as when it is run, then the project's: imports from either work.
    sys.path[:0] = list(dict.fromkeys([str(file.parent), str(root)]))
    before = set(sys.modules)
    try:
        module = loader.import_file(file)
    except MODEL_ERRORS as error:  # the file's own code may raise anything
        return {"error": _described(error, root)}
    try:
        found = _listed(module) if name is None else _object(module, name, file.name)
    except LoadError as error:
        return {"error": _described(error, root), "names": loader.public_names(module)}
    return found | _surroundings(file, root, before)


def _described(error: BaseException, root: Path) -> dict[str, str]:
    """Return a failure for the JSON line, its files named relative to the project."""
    described = failure.as_json(error, None)
    shown = described["traceback"].replace(f'File "{root}/', 'File "')
    return described | {"traceback": shown}


def _listed(module: ModuleType) -> dict[str, Any]:
    """Return the names of the functions and classes that a file defines."""
    names = loader.public_names(module)
    classes = [name for name in names if isinstance(getattr(module, name), type)]
    return {"functions": [name for name in names if name not in classes], "classes": classes}


def _object(module: ModuleType, name: str, file: str) -> dict[str, Any]:
    """Return the kind and the input type of an object."""
    target = loader.find(module, name, file)
    has_predict = callable(getattr(target, "predict", None))
    is_class = isinstance(target, type) or (has_predict and not inspect.isroutine(target))
    if is_class:
        call, bound_to = getattr(target, "predict", None), isinstance(target, type)
        if call is None:
            return {"kind": "class"} | _signature(None)
        return {"kind": "class"} | _signature(call, skip=1 if bound_to else 0)
    return {"kind": "function"} | _signature(loader.function_call(target, name))


def _signature(call: Any, skip: int = 0) -> dict[str, Any]:
    """Return what a callable's parameters and annotations say; `skip` leaves out self."""
    if call is None:
        return {"input_type": None, "as_lists": False, "max_params": 0, "required_params": 0}
    guess = annotations.guess(call, skip)
    required = loader.required_parameters(call)
    return {
        "input_type": guess.input_type,
        "as_lists": guess.as_lists,
        "max_params": loader.max_parameters(call) - skip,
        "required_params": 1 if required is None else required - skip,
    }


def _surroundings(file: Path, root: Path, before: set[str]) -> dict[str, Any]:
    """Return what the file needs: local files, folders of imports, packages, Python."""
    loaded = {
        name: module
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and name.partition(".")[0] != _OWN_PACKAGE
    }
    local = local_modules.find(loaded, root)
    local.setdefault(_name_of(file, loaded), file)
    folders = local_modules.import_folders(local, file)
    # A package whose own folder is the root is imported from the folder above.
    root = Path(os.path.commonpath([root, *folders]))
    # What was there before the file is Python's and the runtime's: a replica has it anyway.
    new = {name.partition(".")[0] for name in loaded if name not in before}
    return {
        "root": str(root),
        "file": file.relative_to(root).as_posix(),
        "sys_path": [folder.relative_to(root).as_posix() for folder in folders],
        "modules": sorted({str(path) for path in local.values()}),
        "packages": packages_of(new - {name.partition(".")[0] for name in local}),
        "python": platform.python_version(),
    }


def _name_of(file: Path, loaded: dict[str, ModuleType]) -> str:
    """Return the name under which the file itself was loaded."""
    for name, module in loaded.items():
        if getattr(module, "__file__", None) == str(file):
            return name
    return file.stem


def packages_of(modules: set[str]) -> dict[str, str]:
    """Return name and version of the distributions that brought these top-level modules."""
    wanted = modules - sys.stdlib_module_names
    if not wanted:
        return {}
    owners = importlib.metadata.packages_distributions()
    names = sorted({name for module in wanted for name in owners.get(module, ())})
    return {name: importlib.metadata.version(name) for name in names}


def main() -> int:
    """Run as a program; exit code 0 also where the JSON line tells of an error."""
    if len(sys.argv) not in {2, 3}:
        sys.stderr.write("usage: python -m model_runtime.discover FILE [OBJECT]\n")
        return 2
    # The answer's way out is kept aside: whatever the file prints, also from C, is not in it.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    found = discover(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else None)
    with answer:
        answer.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    # Threads that the file started must not keep the CLI waiting.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

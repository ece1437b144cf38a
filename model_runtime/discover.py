"""Tells what a file holds and needs: `python -m model_runtime.discover FILE [OBJECT]`.

The CLI runs it in a fresh process, in the user's folder, before it makes a bundle: the file is
loaded as a replica will load it. JSON lines go to standard output, written as soon as they are
known, as the file may end the process: `{"opened": [path]}` for a file that it reads, `written`,
`listed` and `entered` (a folder) in the same way, `own` for what this program opens itself, and
what the file holds. What the file prints goes to standard error.
"""

from __future__ import annotations

import argparse
import enum
import importlib.metadata
import inspect
import json
import os
import platform
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from model_runtime import failure, packed, uris
from model_runtime.annotations import callables, records
from model_runtime.annotations.kind import UnclearError
from model_runtime.contract import PARENT_VARIABLE, die_with_parent
from model_runtime.distributions import packages_distributions, stdlib_module_names
from model_runtime.failure import MODEL_ERRORS, ModelFault
from model_runtime.loaders import bento_sdk, litserve
from model_runtime.loaders import pickle as pickle_loader
from model_runtime.loaders import python as loader
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import LITSERVE
from model_runtime.seldon import shape
from model_runtime.web import kinds
from model_runtime.web import targets as web_targets

_OWN_PACKAGE: Final = (__package__ or "model_runtime").partition(".")[0]
IN_REPLICAS: Final = frozenset(() if packed.IS_FOREIGN else ("msgpack", "zmq"))
"""What a replica imports before its model beside what this process does: of other libraries."""
_MAX_TOLD: Final = 100_000
"""Opened paths that are told; a program that opens more opens them one after the other."""


def discover(
    file: Path, name: str | None, method: str = "predict"
) -> tuple[dict[str, Any], ModuleType | None]:
    """Return what the CLI needs to know of a Python file and of one object in it, and its module.

    Without `name`: `functions`, `classes` and `web` applications that the file defines. With it:
    `kind` (function, class, asgi or wsgi) and how it, or the class' `method`, is called:
    `signature`, `as_lists`, and `is_told`: whether it says so itself. Both: `modules` (name to file
    of what was imported), `packages` (versions), `before` (top-level modules that are there before
    the file's), `python`. A failure gives `error` (message, traceback, hint; `missing`, a module's
    name, or `is_file`: a file was not found) and, where the file could be loaded, `names`.
    """
    before = set(sys.modules)
    try:
        module = loader.import_file(file)
    except MODEL_ERRORS as error:  # the file's own code may raise anything
        return {"error": _described(error) | {"before": _tops(before)}}, None
    try:
        found = _listed(module) if name is None else _object(module, name, file.name, method)
    except ModelFault as error:
        return {"error": _described(error), "names": loader.public_names(module)}, module
    around = surroundings(before)
    around["packages"] |= packages_of(set(found.pop("runs_with", ())))
    return found | around, module


def _described(error: BaseException) -> dict[str, Any]:
    """Return a failure for the JSON line."""
    described: dict[str, Any] = dict(failure.as_json(error, None))
    if isinstance(error, ModuleNotFoundError):
        described["missing"] = error.name
    return described | {"is_file": isinstance(error, FileNotFoundError)}


def _listed(module: ModuleType) -> dict[str, Any]:
    """Return the names of the functions and classes that a file defines."""
    names = loader.public_names(module)
    found = {name: getattr(module, name) for name in names}
    classes = [name for name, value in found.items() if isinstance(value, type)]
    return {
        "web": kinds.named(vars(module)),
        "services": [name for name, each in vars(module).items() if bento_sdk.is_service(each)],
        "functions": [name for name in names if name not in classes],
        "classes": [name for name in classes if not _is_data(found[name])],
    }


def _is_data(cls: type) -> bool:
    """Tell whether a class is what a function takes or gives, and no model."""
    is_kind = records.is_record(cls) or issubclass(cls, (enum.Enum, BaseException))
    return is_kind and not callable(getattr(cls, "predict", None))


def _object(module: ModuleType, name: str, file: str, method: str) -> dict[str, Any]:
    """Return the kind of an object, and how it is called."""
    target = loader.find(module, name, file)
    if bento_sdk.is_service(target):
        return bento_sdk.told(target, name)
    if bento_sdk.is_legacy(target):
        raise LoadError(
            f"'{name}' is a service of BentoML before 1.2, whose models run beside it",
            hint="write it as a class with @bentoml.service",
        )
    if hasattr(target, "_declared_artifacts"):
        raise LoadError(
            f"'{name}' is a service of BentoML 0.13, whose artifacts are packed before that",
            hint="svc.pack(…), path = svc.save(), and deploy the path",
        )
    if kinds.kind_of(target) is not None:
        return web_targets.told(target)
    has_method = callable(getattr(target, method, None))
    is_class = isinstance(target, type) or (has_method and not inspect.isroutine(target))
    if not is_class:
        return {"kind": "function"} | _callee(loader.function_call(target, name), name)
    if method == "predict" and litserve.is_api(target):
        litserve.check(target, name)
        return {"kind": LITSERVE, "signature": None, "is_told": False, "as_lists": True}
    if method == "predict" and shape.is_seldon(target):
        return _of_seldon(target, name)
    return {"kind": "class"} | _method(target, name, method)


def _of_seldon(target: Any, name: str) -> dict[str, Any]:
    """Return what is told of a class that is written for Seldon Core.

    As its deployer may want it called as any other, how that would be is told too, where it can be.
    """
    if (why := shape.fault_of(target)) is not None:
        raise LoadError(why, hint="def predict(self, X, names, meta=None): …")
    try:
        told = _method(target, name, "predict")
    except UnclearError:
        told = {"signature": None, "is_told": False, "as_lists": False}
    # Its messages become arrays, whether or not its own file imports what makes them.
    return {"kind": "class", "is_seldon": True, "runs_with": ["numpy"]} | told


def _method(target: Any, name: str, method: str) -> dict[str, Any]:
    """Return how a class' method is called."""
    call = getattr(target, method, None)
    if not callable(call):  # the instance may have one
        return {"signature": None, "is_told": False, "as_lists": False}
    is_bound = not isinstance(target, type) or inspect.ismethod(call)
    skip = 0 if is_bound or isinstance(inspect.getattr_static(target, method), staticmethod) else 1
    found = callables.read(call, f"{name}.{method}", skip=skip, is_method=True)
    return _told(found)


def _callee(call: Any, name: str) -> dict[str, Any]:
    """Return what a function's parameters and annotations say."""
    return _told(callables.read(call, name))


def _told(callee: callables.Callee) -> dict[str, Any]:
    return {
        "signature": callee.signature.as_json(),
        "is_told": callee.is_told,
        "as_lists": callee.as_lists,
    }


def surroundings(before: set[str]) -> dict[str, Any]:
    """Return what was imported since `before`: files by module, packages; and this Python."""
    loaded = {
        name: module
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and name.partition(".")[0] != _OWN_PACKAGE
    }
    # What was there before the file is Python's and the runtime's: a replica has it anyway.
    new = {name.partition(".")[0] for name in loaded if name not in before}
    return {
        "modules": _files_of(loaded),
        "packages": packages_of(new),
        "before": _tops(before),
        "python": platform.python_version(),
    }


def _tops(before: set[str]) -> list[str]:
    """Return the top-level modules that a replica has imported before its model."""
    return sorted({name.partition(".")[0] for name in before} | IN_REPLICAS)


def _files_of(loaded: dict[str, ModuleType]) -> dict[str, str]:
    """Return name and file of modules."""
    files = {name: getattr(module, "__file__", None) for name, module in loaded.items()}
    return {
        name: os.path.abspath(text)  # noqa: PTH100 - not resolved: a link keeps its name
        for name, text in files.items()
        if isinstance(text, str) and name != "__main__"
    }


def packages_of(modules: set[str]) -> dict[str, dict[str, str]]:
    """Return name and version of the distributions that brought each of these modules."""
    wanted = modules - stdlib_module_names
    if not wanted:
        return {}
    with _looking_around:
        owners = packages_distributions()
        return {
            module: {name: importlib.metadata.version(name) for name in sorted(set(owners[module]))}
            for module in sorted(wanted.intersection(owners))
        }


class _LookingAround:
    """Is on while this program itself opens files, which are none that the model needs."""

    is_on = False

    def __enter__(self) -> None:
        self.is_on = True

    def __exit__(self, *error: object) -> None:
        self.is_on = False


_looking_around = _LookingAround()


class _Teller:
    """Writes what is found to the answer's descriptor, a line at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._told: set[tuple[str, str]] = set()
        self._pid = os.getpid()

    def tell(self, found: dict[str, Any]) -> None:
        """Write one line."""
        os.write(self._descriptor, json.dumps(found).encode() + b"\n")

    def on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Tell of files that are opened to be read, and of folders that are listed.

        Called by Python for every such thing; what is raised here would be raised in the model.
        """
        if event not in _HEARD:
            return
        path = _text_of(arguments[0])
        if path is None:
            return
        if _looking_around.is_on:
            self._note("own", path)
            return
        if event == "open":
            if not path.endswith(".pyc"):
                self._note("written" if _is_written(path, arguments[2]) else "opened", path)
        elif event == "sqlite3.connect":
            path = uris.path_of(path) or path
            self._note("opened" if os.path.exists(path) else "written", path)  # noqa: PTH110
        else:
            self._note(_HEARD[event], path)

    def _note(self, what: str, path: str) -> None:
        if (what, path) in self._told or len(self._told) > _MAX_TOLD or "\0" in path:
            return
        self._told.add((what, path))
        # A model may have gone elsewhere: what is told is to be understood from where it began.
        place = path if os.path.isabs(path) or os.getcwd() == _HOME else os.path.abspath(path)  # noqa: PTH100, PTH109, PTH117
        self.tell({what: [place.encode(errors="replace").decode()]})


_HOME: Final = os.getcwd()  # noqa: PTH109 - where this process began
_HEARD: Final = {
    "open": "opened",
    "sqlite3.connect": "opened",
    "os.listdir": "listed",
    "os.scandir": "listed",
    "os.chdir": "entered",
}
"""Events of https://docs.python.org/3/library/audit_events.html, and what is told of each."""
_ACCESS: Final = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


def _text_of(path: Any) -> str | None:
    """Return a path as a text: some are told as bytes or as what stands for a path."""
    try:
        return os.fsdecode(path)
    except TypeError:  # a descriptor, or None for the present folder
        return None


def _is_written(path: str, flags: Any) -> bool:
    """Tell whether an open makes a file or only writes it."""
    if not isinstance(flags, int):
        return False
    is_made = flags & os.O_CREAT and not os.path.exists(path)  # noqa: PTH110
    return bool(is_made or flags & os.O_TRUNC or flags & _ACCESS == os.O_WRONLY)


def main() -> int:
    """Run as a program; exit code 0 also where a JSON line tells of an error."""
    if parent := os.environ.pop(PARENT_VARIABLE, ""):
        # A file that never ends its import would hold its port long after who looked is gone.
        die_with_parent(int(parent))
    given = _parser().parse_args()
    # The answer's way out is kept aside: whatever the file prints, also from C, is not in it.
    teller = _Teller(os.dup(1))
    os.dup2(2, 1)
    sys.path[:0] = given.first
    sys.path += given.path
    sys.addaudithook(teller.on_audit)
    if given.pickle:
        _load_pickle(given, teller)
    else:
        _load_python(given, teller)
    sys.stdout.flush()
    # Threads that the file started must not keep the CLI waiting.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_runtime.discover")
    parser.add_argument("file", type=Path)
    parser.add_argument("object", nargs="?")
    parser.add_argument("--pickle", action="store_true", help="FILE is one")
    parser.add_argument("--first", action="append", default=[], help="first on sys.path")
    parser.add_argument("--path", action="append", default=[], help="last on sys.path")
    parser.add_argument("--method", default="predict", help="of a class")
    parser.add_argument("--parameters", default="{}", help="of a class, as a JSON object")
    parser.add_argument("--load-for", type=int, default=0, help="seconds to make an instance in")
    return parser


def _load_python(given: argparse.Namespace, teller: _Teller) -> None:
    before = set(sys.modules)
    found, module = discover(given.file, given.object, given.method)
    teller.tell({"listed": found.pop("folders", [])})
    teller.tell(found)
    if module is None or found.get("kind") not in ("class", LITSERVE) or not given.load_for:
        return
    _limit(given.load_for)
    target = loader.find(module, given.object, given.file.name)
    try:
        parameters = json.loads(given.parameters)
        if found["kind"] == LITSERVE:
            litserve.prepare(loader.made(target, parameters, given.object))
        else:
            loader.instance_of(target, parameters, given.object)
    except MODEL_ERRORS as error:  # the replica will say so
        teller.tell({"load_error": _described(error)})
    teller.tell({"loaded": surroundings(before)})


def _load_pickle(given: argparse.Namespace, teller: _Teller) -> None:
    before = set(sys.modules)
    _limit(given.load_for)
    try:
        pickle_loader.read(given.file)
    except MODEL_ERRORS as error:  # the replica will say so
        teller.tell({"load_error": _described(error)})
    teller.tell({"loaded": surroundings(before)})


def _limit(seconds: int) -> None:
    """End this process after a time, whatever it does: what it has told counts."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


if __name__ == "__main__":
    sys.exit(main())

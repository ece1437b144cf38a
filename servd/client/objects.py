"""What is deployed that is no file: functions, closures, classes, fitted models. Used by clients.

The object is written to a temporary folder, and planned as if it lay where its code does: what it
imports and opens is found from there.
"""

import functools
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from model_runtime.annotations import callables
from model_runtime.annotations.callables import Callee
from model_runtime.annotations.kind import UnclearError
from model_runtime.seldon import shape
from model_runtime.web import kinds
from servd.client import pickling
from servd.client.pickling import Needed
from servd.errors import TargetError
from servd.finding.installed import is_environment
from servd.packing.targets import Made, Target, parse_target
from servd.system.temporary import temporary_folder

_FUNCTION: Final = "function"
_CLASS: Final = "class"
_FITTED: Final = "pickle"
_OF_FITTED: Final = ("fit", "get_params", "predict_proba", "n_features_in_", "get_booster")
"""What libraries' models have, and those that are made like them."""
_BUFFER_BYTES: Final = 1 << 20


@contextmanager
def as_target(target: Any, name: str | None = None, method: str | None = None) -> Iterator[Target]:
    """Yield the file that a target is, or that is made of it for as long as it is needed.

    `name` is the model's, where it is given, `method` what is called of a class or a model.

    Raises:
        TargetError: it cannot be deployed.
    """
    if isinstance(target, (str, Path)):
        yield parse_target(str(target))
        return
    if kinds.kind_of(target) is not None:
        yield _of_web(target)
        return
    with temporary_folder("object") as folder:
        yield _written(target, folder / "object.pkl", name, method or "predict")


def _of_web(app: Any) -> Target:
    """Return the file that a web application is of, by which it is run.

    Raises:
        TargetError: it is of none that could be imported without deploying once more.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or name == "__main__" or is_environment(Path(file)):
            continue
        for word, value in list(vars(module).items()):
            if value is app and file.endswith(".py"):
                return Target(Path(file).absolute(), word)
    raise TargetError(
        "a web application is run from its file, and this one is of no module",
        hint="put it in a file, and deploy that: 'app.py:app'",
    )


def _written(target: Any, content: Path, name: str | None, method: str) -> Target:
    """Write an object and return what it is as a target."""
    kind = _kind(target, method)
    own = name_of(target)
    if hasattr(target, "_declared_artifacts"):
        raise TargetError(
            f"{own} is a service of BentoML 0.13: its bundle is deployed, not the object",
            hint="path = svc.save(), and client.deploy(f'{path}:api')",
        )
    place = folder_of(target)
    shown = f"'{own}'" if kind == _FUNCTION else own
    is_seldon = kind == _CLASS and method == "predict" and shape.is_seldon(target)
    callee = _callee_of_seldon(target, own) if is_seldon else _callee(target, own, kind, method)
    with content.open("wb", buffering=_BUFFER_BYTES) as file:
        needed = pickling.write(_resolved(target), file, shown)
    if isinstance(target, types.FunctionType):
        pickling.check_names(target, needed)
    path = _unused(place, own if kind != _FITTED or name is None else name)
    made = Made(
        content=content,
        kind=kind,
        name=own,
        modules=tuple(sorted(needed.modules - {"__main__", own_module_of(target)})),
        loaded=loaded_files(needed),
        texts=tuple(sorted(needed.texts)),
        callee=callee,
        is_seldon=is_seldon,
    )
    return Target(path, None if kind == _FITTED else own, made)


def _kind(target: Any, method: str) -> str:
    """Return what an object counts as: a function, a class, or a fitted model.

    Raises:
        TargetError: it is none.
    """
    if isinstance(target, type):
        return _CLASS
    if inspect.isroutine(target) or isinstance(target, (functools.partial, pickling.CACHED)):
        return _FUNCTION
    if _is_own_code(type(target)) and shape.is_seldon(target):
        return _CLASS
    has_method = callable(getattr(target, method, None))
    if not has_method and not callable(target):
        kind = type(target).__name__
        raise TargetError(
            f"an object of type {kind} is not something to deploy: it has no '{method}', and "
            "cannot be called",
            hint="deploy a function, a class, a model, a path or 'file.py:name'",
        )
    is_of_library = not _is_own_code(type(target)) or any(
        hasattr(target, each) for each in _OF_FITTED
    )
    if is_of_library:
        return _FITTED
    return _CLASS if has_method else _FUNCTION


def _is_own_code(code: Any) -> bool:
    module = sys.modules.get(code.__module__)
    return module is None or pickling.is_own(module)


def name_of(target: Any) -> str:
    """Return what an object is called."""
    while isinstance(target, functools.partial):
        target = target.func
    if isinstance(target, types.MethodType) and target.__name__ in ("predict", "__call__"):
        target = target.__self__
    name = getattr(target, "__name__", None)
    if not isinstance(name, str):
        return type(target).__name__
    return "lambda" if name == "<lambda>" else name


def own_module_of(target: Any) -> str:
    """Return the module that an object's code is of, which comes along in it."""
    return pickling.own_module(target) or ""


def _callee(target: Any, name: str, kind: str, method: str) -> Callee | None:
    """Return how a function, or a class's method, says that it is called; None of a fitted model.

    Raises:
        TargetError: no input fits it.
    """
    call, skip = target, 0
    if kind == _FITTED:
        return None
    if kind == _CLASS:
        call = getattr(target, method, None)
        if not callable(call):
            raise TargetError(f"'{name}' has no method '{method}'", hint="method='NAME' names one")
        is_static = isinstance(inspect.getattr_static(target, method), staticmethod)
        skip = int(isinstance(target, type) and not inspect.ismethod(call) and not is_static)
        name = f"{name}.{method}"
    try:
        return callables.read(call, name, skip=skip, is_method=kind == _CLASS)
    except UnclearError as error:
        raise TargetError(str(error), hint=error.hint) from error


def _callee_of_seldon(target: Any, name: str) -> Callee | None:
    """Return how a class of Seldon Core's would be called as any other, where it could be.

    Raises:
        TargetError: it cannot be called with messages either.
    """
    if (why := shape.fault_of(target)) is not None:
        raise TargetError(why, hint="def predict(self, X, names, meta=None): …")
    try:
        return _callee(target, name, _CLASS, "predict")
    except TargetError:
        return None


def _resolved(target: Any) -> Any:
    """Return a function whose annotations are no texts: not all names of its module come along."""
    if not isinstance(target, types.FunctionType) or not _is_own_code(target):
        return target
    if not any(isinstance(each, str) for each in target.__annotations__.values()):
        return target
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations may be anything; what cannot be read says nothing
        return target
    copy = types.FunctionType(
        target.__code__,
        target.__globals__,
        target.__name__,
        target.__defaults__,
        target.__closure__,
    )
    copy.__kwdefaults__ = target.__kwdefaults__
    copy.__dict__.update(target.__dict__)
    copy.__annotations__ = hints
    copy.__module__, copy.__qualname__ = target.__module__, target.__qualname__
    copy.__doc__ = target.__doc__
    return copy


def folder_of(target: Any) -> Path:
    """Return where the file of an object's code lies; of what was typed in, where the user is."""
    module = sys.modules.get(own_module_of(target))
    file = getattr(module, "__file__", None)
    if file is None or is_environment(Path(file)):
        return Path.cwd()
    return Path(file).absolute().parent


def _unused(folder: Path, name: str) -> Path:
    """Return the path of a pickle that is not there, in whose place an object comes."""
    clean = "".join(each if each.isalnum() or each in "_-." else "-" for each in name)
    path = folder / f"{clean}.pkl"
    return folder / f"{clean}.object.pkl" if path.exists() else path


def loaded_files(needed: Needed) -> dict[str, Path]:
    """Return the files of the user's modules that are needed, as this program has them."""
    found = {}
    for name in needed.modules:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if module is not None and file is not None and pickling.is_own(module):
            found[name] = Path(file).absolute()
    return found

"""Writes an object of a running program for a replica, and says what it needs. Used by objects.py.

Functions and classes of `__main__`, and of the module that the object itself is of, are written by
value, as cloudpickle does; what else is imported is named, and comes along as files.
"""

import builtins
import dis
import functools
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import cloudpickle

from servd.client.culprit import Culprit, find_culprit, shown_kind
from servd.errors import TargetError, did_you_mean
from servd.finding.installed import is_environment

PROTOCOL: Final = 5
"""Long arrays are written as they are, uncopied, and read so."""


@dataclass(slots=True)
class Needed:
    """What an object needs of where it comes from.

    `modules` are imported by name, `texts` are those that its functions hold: perhaps names of
    files. `undefined` are names that its functions use and that are nowhere.
    """

    modules: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    undefined: dict[str, str] = field(default_factory=dict)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """cloudpickle's, which notes what is needed, and refuses what no replica could read."""

    def __init__(self, file: IO[bytes], needed: Needed, **more: Any) -> None:
        super().__init__(file, protocol=PROTOCOL, **more)
        self._needed = needed

    def reducer_override(self, obj: Any) -> Any:
        """Note an object; called for each that is no number, text, list or dict."""
        if isinstance(obj, (types.FunctionType, type)):
            self._note_code(obj)
        elif isinstance(obj, types.ModuleType):
            self._needed.modules.add(obj.__name__)
        elif isinstance(obj, types.BuiltinFunctionType):
            if isinstance(obj.__module__, str):
                self._needed.modules.add(obj.__module__)
        elif getattr(type(obj), "is_cuda", None) is not None and obj.is_cuda is True:
            raise TypeError("it lies on a GPU")
        elif isinstance(obj, CACHED) and _is_by_value_below(obj):
            # By itself it is written by its name, which no replica has.
            parameters = obj.cache_parameters()
            made_of = (obj.__wrapped__, parameters["maxsize"], parameters["typed"], _CACHE_INFO)
            return CACHED, made_of, vars(obj)
        return super().reducer_override(obj)

    def _note_code(self, code: types.FunctionType | type) -> None:
        if not is_by_value(code):
            self._needed.modules.add(code.__module__)
        elif isinstance(code, types.FunctionType):
            _note_code(code, self._needed)


def write(target: Any, file: IO[bytes], shown: str) -> Needed:
    """Write an object, and return what it needs.

    Raises:
        TargetError: something in it cannot be written; the message has the path to it.
    """
    needed = Needed()
    with _own_module_by_value(target):
        try:
            Pickler(file, needed).dump(target)
        except OSError:
            raise
        except Exception as error:
            raise _refused(target, shown, error) from error
    return needed


def _refused(target: Any, shown: str, error: Exception) -> TargetError:
    """Return why an object cannot be written, with the path to what is in the way."""
    if isinstance(error, RecursionError):
        return TargetError(
            f"{shown} is nested too deep to be written",
            hint="deploy a Python file with a function that makes it: file.py:name",
        )
    found = find_culprit(target, _is_writable) or Culprit("", target, error)
    what = shown_kind(found.value)
    where = f"`{found.path}`, {what.name}," if found.path else f"{what.name}"
    return TargetError(
        f"{shown} holds {where} which cannot be sent to a replica: {found.error}",
        hint=what.hint or "make it in the replica: deploy a Python file, file.py:name",
    )


class _Nothing:
    """Takes what is written, and keeps none of it."""

    def write(self, data: Any) -> int:
        """Forget it."""
        return len(data)


def _is_writable(value: Any) -> Exception | None:
    """Return what is raised where a value is written, if anything is; nothing is copied."""
    try:
        Pickler(_Nothing(), Needed(), buffer_callback=lambda _buffer: None).dump(value)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - what stands in the way may raise anything
        return error
    return None


CACHED: Final[Any] = functools._lru_cache_wrapper  # noqa: SLF001 - what `lru_cache` makes
_CACHE_INFO: Final[Any] = functools._CacheInfo  # noqa: SLF001


def _is_by_value_below(cached: Any) -> bool:
    wrapped = cached.__wrapped__
    if not isinstance(wrapped, types.FunctionType):
        return False
    module = sys.modules.get(wrapped.__module__)
    is_registered = wrapped.__module__ in cloudpickle.list_registry_pickle_by_value()
    return module is None or wrapped.__module__ == "__main__" or is_registered


def is_by_value(code: types.FunctionType | type) -> bool:
    """Tell whether a function or class is written with its code, and not by its name."""
    return not cloudpickle.cloudpickle._should_pickle_by_reference(code)  # noqa: SLF001 - nothing public tells


@contextmanager
def _own_module_by_value(target: Any) -> Iterator[None]:
    """Have the functions and classes of the target's own module written by value meanwhile."""
    module = sys.modules.get(own_module(target) or "")
    if module is None or module.__name__ == "__main__" or not is_own(module):
        yield
        return
    known = cloudpickle.list_registry_pickle_by_value()
    if module.__name__ in known:
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def own_module(target: Any) -> str | None:
    """Return the name of the module that an object's code is of."""
    while isinstance(target, functools.partial):
        target = target.func
    if isinstance(target, types.MethodType):
        target = target.__self__
    if isinstance(target, CACHED):
        target = target.__wrapped__
    is_code = isinstance(target, (types.FunctionType, type))
    found = getattr(target if is_code else type(target), "__module__", None)
    return found if isinstance(found, str) else None


def is_own(module: types.ModuleType) -> bool:
    """Tell whether a module is the user's, and not installed or Python's own."""
    file = getattr(module, "__file__", None)
    if module.__name__ == "__main__":
        return True
    if file is None:
        return getattr(module, "__spec__", None) is None
    top = module.__name__.partition(".")[0]
    return top not in sys.stdlib_module_names and not is_environment(Path(file))


# --- what code says ---


def _note_code(function: types.FunctionType, needed: Needed) -> None:
    """Note what a function imports and which of its names are nowhere."""
    name = function.__qualname__
    names = function.__globals__
    for cell_name, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        try:
            _ = cell.cell_contents
        except ValueError:
            needed.undefined.setdefault(cell_name, name)
    package = str(names.get("__package__") or "")
    for code in _codes(function.__code__):
        needed.texts.update(each for each in code.co_consts if isinstance(each, str))
        stored = {each.argval for each in dis.get_instructions(code) if each.opname == _STORED}
        for instruction, level in _with_levels(code):
            word = str(instruction.argval)
            if instruction.opname == "IMPORT_NAME":
                needed.modules.add(_absolute(word, level, package))
            elif word not in names and word not in stored and not hasattr(builtins, word):
                needed.undefined.setdefault(word, name)


_STORED: Final = "STORE_GLOBAL"
_READ: Final = ("LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME")


def _with_levels(code: types.CodeType) -> Iterator[tuple[dis.Instruction, int]]:
    """Give the instructions that name something, and the dots of a relative import."""
    constants: list[Any] = []
    for each in dis.get_instructions(code):
        if each.opname == "LOAD_CONST" or each.opname.startswith("LOAD_SMALL_INT"):
            constants.append(each.argval)
        elif each.opname in _READ:
            level = constants[-2] if len(constants) > 1 else 0
            yield each, level if each.opname == "IMPORT_NAME" and isinstance(level, int) else 0


def _absolute(name: str, level: int, package: str) -> str:
    if not level:
        return name
    try:
        return importlib.util.resolve_name("." * level + name, package)
    except ImportError:
        return name


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Give the code of a function, and of those within it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


def check_names(function: Any, needed: Needed) -> None:
    """Refuse a function that uses a name which is nowhere.

    Raises:
        TargetError: it does; the message has the name.
    """
    qualified = getattr(function, "__qualname__", "")
    wrong = [name for name, where in needed.undefined.items() if where == qualified]
    if not wrong:
        return
    names = [*getattr(function, "__globals__", ()), *dir(builtins)]
    place = function.__code__
    what = "the lambda" if qualified.endswith("<lambda>") else f"'{function.__name__}'"
    raise TargetError(
        f"{what} ({Path(place.co_filename).name}, line {place.co_firstlineno}) uses "
        f"`{wrong[0]}`, which is not there",
        hint=did_you_mean(wrong[0], names) or "define it before the function is deployed",
    )

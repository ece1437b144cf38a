"""Finds what in an object cannot be pickled, and the path to it. Used by pickling.py."""

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_MAX_DEPTH: Final = 60
_MAX_TRIED: Final = 10_000

Test = Callable[[Any], Exception | None]
"""Returns why a value cannot be pickled; None where it can."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """What cannot be pickled although all that it holds can. `path` is as code would have it."""

    path: str
    value: Any
    error: Exception


@dataclass(frozen=True, slots=True)
class Shown:
    """What to call a value that is in the way, and what to do about it."""

    name: str
    hint: str = ""


_LATER: Final = "make it where it is used first, or leave it out in __getstate__"
_SHOWN: Final[dict[str, Shown]] = {
    "lock": Shown("a lock", _LATER),
    "RLock": Shown("a lock", _LATER),
    "Condition": Shown("a lock", _LATER),
    "socket": Shown("a socket", "connect in the replica: in a class's load(), as in file.py:Class"),
    "generator": Shown("a generator", "give what makes it, or list() of it"),
    "async_generator": Shown("a generator", "give what makes it"),
    "coroutine": Shown("a coroutine", "give the function that makes it"),
    "TextIOWrapper": Shown("an open file", "open it in the function, by its path"),
    "BufferedReader": Shown("an open file", "open it in the function, by its path"),
    "BufferedWriter": Shown("an open file", "open it in the function, by its path"),
    "_thread._local": Shown("what threads have of their own", _LATER),
    "_local": Shown("what threads have of their own", _LATER),
    "Connection": Shown("a connection", "connect in the replica: in a class's load()"),
}


def shown_kind(value: Any) -> Shown:
    """Return what to call a value."""
    if getattr(value, "is_cuda", None) is True:
        return Shown("a tensor on a GPU", "move it to the CPU first: .cpu(), or .to('cpu')")
    known = _SHOWN.get(type(value).__name__)
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if known is None:
        return Shown(f"a value of type {kind}")
    return Shown(f"{known.name} ({kind})", known.hint)


def find_culprit(root: Any, test: Test) -> Culprit | None:
    """Return the innermost part of an object that cannot be pickled; None where all can."""
    return _Search(test).find(root, "", 0)


class _Search:
    def __init__(self, test: Test) -> None:
        self._test = test
        self._seen: dict[int, Any] = {}

    def find(self, value: Any, path: str, depth: int) -> Culprit | None:
        """Return what is in the way in a value that lies at a path."""
        if id(value) in self._seen or depth > _MAX_DEPTH or len(self._seen) > _MAX_TRIED:
            return None
        self._seen[id(value)] = value  # kept, as another may get its id otherwise
        error = self._test(value)
        if error is None:
            return None
        for name, part in _parts(value, path):
            found = self.find(part, name, depth + 1)
            if found is not None:
                return found
        return Culprit(path, value, error)


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give what a value holds, each with the path to it."""
    if isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield path or "self", value.__self__
    elif isinstance(value, functools.partial):
        yield from _parts_of_partial(value, path)
    elif isinstance(value, dict):
        yield from ((f"{path}[{key!r:.40}]", each) for key, each in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"{path}[{at}]", each) for at, each in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from ((f"{path}{{…}}", each) for each in value)
    elif isinstance(value, (type, types.ModuleType)):
        prefix = path or getattr(value, "__name__", "")
        yield from ((f"{prefix}.{name}", each) for name, each in list(vars(value).items()))
    else:
        yield from _parts_of_object(value, path or "self")


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Give what a function closes over, what it uses of its module, its defaults."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    parameters = list(inspect.signature(function).parameters.values())
    yield from ((each.name, each.default) for each in parameters if each.default is not each.empty)
    yield from vars(function).items()


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _names(each)


def _parts_of_partial(value: "functools.partial[Any]", path: str) -> Iterator[tuple[str, Any]]:
    yield path, value.func
    yield from ((f"{path}.args[{at}]", each) for at, each in enumerate(value.args))
    yield from value.keywords.items()


def _parts_of_object(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give what pickle would write of an object: what it is made with, and its state."""
    try:
        reduced = value.__reduce_ex__(5)
    except Exception:  # noqa: BLE001 - it says itself that it cannot be written
        state = getattr(value, "__dict__", {})
        if "__getstate__" not in type(value).__dict__:
            yield from ((f"{path}.{name}", each) for name, each in list(state.items()))
        return
    if not isinstance(reduced, tuple):
        return
    _, arguments, state, items, pairs = [*reduced, None, None, None][:5]
    yield from _parts_of_state(state, path)
    yield from ((f"{path}[{at}]", each) for at, each in enumerate(items or ()))
    yield from ((f"{path}[{key!r:.40}]", each) for key, each in pairs or ())
    yield from ((path, each) for each in arguments or () if not isinstance(each, type))


def _parts_of_state(state: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give the attributes that a state has, which may be a dict, and another of slots."""
    if isinstance(state, dict):
        yield from ((f"{path}.{name}", each) for name, each in state.items())
    elif isinstance(state, tuple) and len(state) == 2:
        for each in state:
            yield from _parts_of_state(each, path)
    elif state is not None:
        yield f"{path}.__getstate__()", state

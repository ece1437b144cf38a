"""Tells web applications from other values: ASGI or WSGI, by how they are called.

Used by discover.py and by loaders/python.py. No framework is imported, and none is known by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from model_runtime.manifest import ASGI, WSGI

_ASGI_NAMES: Final = ("scope", "receive", "send")
_USUAL_NAMES: Final = ("app", "application", "asgi", "wsgi", "api")
"""Names under which servers look for an application, the commonest first."""
_MOST_LOOKED_AT: Final = 5


def kind_of(value: Any) -> str | None:
    """Return which kind of web application a value is; None: it is none.

    An ASGI application is called with `scope, receive, send`, a WSGI application with an
    environment and `start_response` (PEP 3333): instances by their `__call__`, functions by their
    own parameters. A class is none: its instances may be.
    """
    try:
        if isinstance(value, type) or not callable(value):
            return None
        names = _parameters(value)
    except Exception:  # noqa: BLE001 - what stands for another value may be asked in its time only
        return None
    if names == _ASGI_NAMES:
        return ASGI
    return WSGI if len(names) == 2 and names[1] == "start_response" else None


def named(names: Mapping[str, Any]) -> list[str]:
    """Return the names of the web applications of a module, each once, the likeliest first.

    A part of one that can be called like one (a router of FastAPI) is found as well, so that what
    has one of the usual names comes before all others.
    """
    found: dict[int, str] = {}
    usual = [name for name in _USUAL_NAMES if name in names]
    for name in (*usual, *names):
        value = names[name]
        if not name.startswith("_") and id(value) not in found and kind_of(value) is not None:
            found[id(value)] = name
    return list(found.values())


def is_usual(name: str) -> bool:
    """Tell whether servers of web applications look for one under this name."""
    return name in _USUAL_NAMES


def _parameters(value: Any) -> tuple[str, ...]:
    """Return the names of the positional parameters that a call must have."""
    try:
        found = [*inspect.signature(value).parameters.values()][:_MOST_LOOKED_AT]
    except (TypeError, ValueError):
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wanted = [
        one for one in found if one.kind in positional and one.default is inspect.Parameter.empty
    ]
    return tuple(one.name.lstrip("_") for one in wanted)

"""A prediction server in one daemon; see ARCHITECTURE.md for the layers and the path of a query.

`servd.Client`, `servd.AsyncClient` and `servd.local` are what Python programs use (docs/python.md).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servd.client.async_client import AsyncClient as AsyncClient
    from servd.client.client import Client as Client
    from servd.client.local import local as local
    from servd.errors import ServdError as ServdError

__version__ = "0.1.0"

_FROM = {
    "AsyncClient": "servd.client.async_client",
    "Client": "servd.client.client",
    "ServdError": "servd.errors",
    "local": "servd.client.local",
}
"""Imported when they are used first: the command line and replicas start without them."""


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module 'servd' has no attribute '{name}'")
    value = getattr(importlib.import_module(_FROM[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM])

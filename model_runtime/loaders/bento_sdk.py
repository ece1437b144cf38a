"""Services of BentoML 1.x: what their APIs are, and how one becomes a model.

Used by loaders/bento.py and by discover.py. BentoML is what the service's own file imports; nothing
here does, and none of its server runs.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from model_runtime.annotations import callables
from model_runtime.annotations.callables import Callee
from model_runtime.annotations.kind import UnclearError
from model_runtime.loaders import functions
from model_runtime.loaders import python as loader
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.manifest import Manifest
from model_runtime.signature import BATCH, EACH

_PACKAGES: Final = ("_bentoml_sdk", "_bentoml_impl")
_LEGACY: Final = "bentoml._internal.service.service"
_ON_START: Final = "__bentoml_startup_hook__"


def is_service(value: Any) -> bool:
    """Tell whether an object is a service of BentoML 1.2 or newer."""
    module = type(value).__module__.partition(".")[0]
    return module in _PACKAGES and isinstance(getattr(value, "apis", None), dict)


def is_legacy(value: Any) -> bool:
    """Tell whether an object is a service of BentoML 1.0 or 1.1, which needs its runners."""
    return type(value).__module__ == _LEGACY


def told(service: Any, name: str) -> dict[str, Any]:
    """Return what discover tells of a service: how each API is called, or why it cannot be.

    Raises:
        LoadError: it has no API.
    """
    if not service.apis:
        raise LoadError(f"'{name}' has no API", hint="@bentoml.api makes a method one")
    return {"kind": "service", "apis": {api: _api(service, name, api) for api in service.apis}}


def _api(service: Any, name: str, api: str) -> dict[str, Any]:
    try:
        found = _callee(service, name, api)
    except UnclearError as error:
        return {"error": str(error), "hint": error.hint}
    return {"signature": found.signature.as_json(), "as_lists": found.as_lists}


def _callee(service: Any, name: str, api: str) -> Callee:
    """Return how an API is called: once an input, or with a list where it is batchable."""
    method = service.apis[api]
    how = BATCH if method.batchable else EACH
    call = _call(service, api, instance=None)
    return callables.read(call, f"{name}.{api}", is_method=True, as_call=how)


def _call(service: Any, api: str, instance: Any) -> Callable[..., Any]:
    """Return an API's method, bound to an instance, without the parameter that is its context."""
    method = service.apis[api]
    bound: Callable[..., Any] = method.func.__get__(instance if instance is not None else service)
    context = method.ctx_param
    if context is None:
        return bound
    own = inspect.signature(bound)
    call: Any = functools.partial(bound, **{context: service.context})
    call.__signature__ = own.replace(
        parameters=[each for name, each in own.parameters.items() if name != context]
    )
    made: Callable[..., Any] = call
    return made


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that an API of a service is; see `loaders.load`."""
    # A replica is no server of BentoML's that it would count.
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    name = manifest.object or ""
    service = loader.find(loader.import_file(files / manifest.file), name, manifest.file)
    if not is_service(service) or manifest.method not in service.apis:
        raise LoadError(f"'{name}' of {manifest.file} is no service with an API {manifest.method}")
    instance = service()
    for member in vars(type(instance)).values():
        if callable(member) and getattr(member, _ON_START, False):
            _wait(member(instance))
    call = _call(service, manifest.method, instance)
    info = {"object": f"{name}.{manifest.method}"}
    return functions.model_of(call, manifest, info, is_method=True)


def _wait(result: Any) -> None:
    if inspect.isawaitable(result):
        from model_runtime.async_calls import the_loop  # noqa: PLC0415  (it starts a thread)

        the_loop().wait(result)

"""`@api`: a method that answers, with what it takes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from model_runtime.bento.adapters import BaseInputAdapter, BaseOutputAdapter, DefaultOutput
from model_runtime.bento.exceptions import InvalidArgument
from model_runtime.older import dataclass

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_MAX_LATENCY: Final = 20000
DEFAULT_MAX_BATCH_SIZE: Final = 4000
_RESERVED: Final = ("index", "swagger", "docs", "healthz", "metrics", "feedback")
_NO_ROUTE: Final = re.compile(r"[?#]|^//|^:")
_MARK: Final = "_is_api"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceAPI:
    """An API of a service. `user_func` is the method, bound to the service."""

    service: Any
    name: str
    doc: str
    input_adapter: BaseInputAdapter
    output_adapter: BaseOutputAdapter
    user_func: Callable[..., Any]
    mb_max_latency: int
    mb_max_batch_size: int
    batch: bool
    route: str


def api_decorator(  # noqa: PLR0913 - the names of BentoML's
    *args: Any,
    input: Any = None,  # noqa: A002 - the name that scripts give it
    output: Any = None,
    api_name: str | None = None,
    route: str | None = None,
    api_doc: str | None = None,
    mb_max_batch_size: int = DEFAULT_MAX_BATCH_SIZE,
    mb_max_latency: int = DEFAULT_MAX_LATENCY,
    batch: bool = False,
    **kwargs: Any,
) -> Callable[[F], F]:
    """Make a method an API: `@api(input=JsonInput(), batch=True)`, or `@api(JsonInput)`.

    `batch`: it is called with a list of inputs and returns as many outputs. Tables and Clipper's
    inputs come so in any case.

    Raises:
        InvalidArgument: what it takes is not said, its name cannot be one, or is there twice.
    """
    adapter = _adapter(args, input, kwargs)

    def decorate(function: F) -> F:
        name = function.__name__ if api_name is None else api_name
        _check_name(name, name if route is None else route)
        _check_unique(name, function.__name__, sys._getframe(1).f_locals)  # noqa: SLF001 - the class body
        told = {
            _MARK: True,
            "_input_adapter": adapter,
            "_output_adapter": output or DefaultOutput(),
            "_api_name": name,
            "_api_route": name if route is None else route,
            "_api_doc": function.__doc__ if api_doc is None else api_doc,
            "_mb_max_batch_size": mb_max_batch_size,
            "_mb_max_latency": mb_max_latency,
            "_batch": batch,
        }
        vars(function).update(told)
        return function

    return decorate


def _adapter(args: tuple[Any, ...], given: Any, settings: dict[str, Any]) -> BaseInputAdapter:
    """Return what an API takes, of an instance or, as it was written before, of its class."""
    wanted = given if given is not None or not args else args[0]
    if isinstance(wanted, type) and issubclass(wanted, BaseInputAdapter):
        wanted = wanted(*args[1:], **settings)
    if isinstance(wanted, BaseInputAdapter):
        return wanted
    found = "nothing" if wanted is None or callable(wanted) else f"{wanted!r:.60}"
    raise InvalidArgument(
        f"@api says what the method takes, as in @api(input=JsonInput()), not {found}"
    )


def _check_name(name: str, route: str) -> None:
    if not name.isidentifier():
        raise InvalidArgument(f"an API's name is one that a function could have, not {name!r}")
    for kind, word in (("name", name), ("route", route)):
        if word in _RESERVED:
            raise InvalidArgument(f"'{word}' is reserved, and no {kind} of an API")
    if _NO_ROUTE.search(route):
        raise InvalidArgument(f"the route {route!r} cannot be part of a URL's path")


def _check_unique(name: str, own: str, body: Mapping[str, Any]) -> None:
    """Raise where a class body has an API of a name already: the second would hide the first."""
    if "__qualname__" not in body:
        return
    for other, value in body.items():
        if getattr(value, _MARK, False) is True and (other == own or value._api_name == name):  # noqa: SLF001 - ours
            raise InvalidArgument(
                f"{body['__qualname__']} has two APIs of the name '{name}': give one of them "
                "another, as in @api(api_name='…')"
            )


def apis_of(service: Any) -> list[InferenceAPI]:
    """Return the APIs of a service in the order of their methods' names.

    Raises:
        InvalidArgument: two have one name.
    """
    found: dict[str, InferenceAPI] = {}
    cls = type(service)
    for attribute in dir(cls):
        function = getattr(cls, attribute, None)
        if getattr(function, _MARK, False) is not True or not callable(function):
            continue
        api = _api_of(service, function)
        if api.name in found:
            raise InvalidArgument(f"{cls.__name__} has two APIs of the name '{api.name}'")
        found[api.name] = api
    return list(found.values())


def _api_of(service: Any, function: Any) -> InferenceAPI:
    name, adapter, output = function._api_name, function._input_adapter, function._output_adapter  # noqa: SLF001 - ours
    doc = f"The API '{name}' of {service.name}, of {type(adapter).__name__}"
    return InferenceAPI(
        service=service,
        name=name,
        doc=function._api_doc or doc,  # noqa: SLF001 - as above
        input_adapter=adapter,
        output_adapter=output,
        user_func=function.__get__(service),
        mb_max_latency=function._mb_max_latency,  # noqa: SLF001 - as above
        mb_max_batch_size=function._mb_max_batch_size,  # noqa: SLF001 - as above
        batch=function._batch,  # noqa: SLF001 - as above
        route=function._api_route,  # noqa: SLF001 - as above
    )

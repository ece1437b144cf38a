"""One parameter of a function that an input may fill, and what its annotation can be.

Used by callables.py.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any, Final

from model_runtime.annotations import foreign, kinds
from model_runtime.annotations.kind import UnclearError
from model_runtime.annotations.kinds import LISTS, Reader, plain
from model_runtime.annotations.records import Unresolved, default_of
from model_runtime.older import dataclass

SCALARS: Final = (bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One that an input can fill; `annotation` is Any where it says nothing."""

    name: str
    annotation: Any
    default: Any
    is_positional: bool
    is_bare: bool
    """Whether it has no annotation that says anything."""

    @property
    def is_needed(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


def parameter_of(each: inspect.Parameter, hints: dict[str, Any]) -> Parameter:
    """Return a parameter with its annotation, which is Any where it cannot be read."""
    annotation = hints.get(each.name, Any)
    if isinstance(annotation, Unresolved):
        is_bare = True
    else:
        annotation = plain(annotation)
        is_bare = kinds.is_bare(annotation)
    is_positional = each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    return Parameter(each.name, annotation, each.default, is_positional, is_bare)


def is_fillable(parameter: Parameter) -> bool:
    """Tell whether a parameter with a default is one that an input may fill.

    What JSON cannot hold is the function's own business, unless its type says how it is made.
    """
    value = of_library(parameter.default)
    if parameter.is_bare:
        return not default_of(value).is_dropped
    try:
        Reader().kind(parameter.annotation)
    except UnclearError:
        return False
    return True


def of_library(default: Any) -> Any:
    """Return the default in pydantic's or FastAPI's description of a parameter, or as it is."""
    if type(default).__module__.partition(".")[0] not in ("pydantic", "fastapi"):
        return default
    inner = getattr(default, "default", default)
    is_none = inner is Ellipsis or type(inner).__name__ in (
        "PydanticUndefinedType",
        "UndefinedType",
    )
    return inspect.Parameter.empty if is_none else inner


def is_list(annotation: Any) -> bool:
    """Tell whether an annotation can be that of a list of inputs."""
    annotation = without_none(annotation)
    if foreign.is_array(annotation) or foreign.frame_of(annotation):
        return True
    origin = typing.get_origin(annotation) or annotation
    if origin is tuple:
        arguments = typing.get_args(annotation)
        return not arguments or arguments[1:] == (Ellipsis,)
    return origin in LISTS


def is_text(annotation: Any) -> bool:
    """Tell whether an annotation is a text, which may be bounded."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = plain(typing.get_args(annotation)[0])
    return annotation is str


def is_of_scalars(annotation: Any) -> bool:
    """Tell whether an annotation is a list of numbers, texts or bools."""
    arguments = typing.get_args(without_none(annotation))
    return bool(arguments) and plain(arguments[0]) in SCALARS


def is_unknown(annotation: Any) -> bool:
    """Tell whether nothing can be made of JSON for an annotation: it says nothing, then."""
    try:
        Reader().kind(annotation)
    except UnclearError:
        return True
    return False


def without_none(annotation: Any) -> Any:
    """Return X for `X | None`."""
    arguments = [each for each in typing.get_args(annotation) if each is not type(None)]
    is_optional = len(arguments) == 1 and type(None) in typing.get_args(annotation)
    return plain(arguments[0]) if is_optional else annotation

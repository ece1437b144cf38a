"""How a class that is written for Seldon Core is told from others. Used by discover.py."""

from __future__ import annotations

import inspect
from typing import Any, Final

BESIDE: Final = frozenset({"names", "feature_names", "features_names", "meta"})
"""How such a class calls what its predict takes beside the data."""

METHODS: Final = (
    *("predict_raw", "transform_input", "transform_output", "transform_input_raw"),
    *("transform_output_raw", "send_feedback", "send_feedback_raw", "class_names", "tags"),
    *("health_status", "health_status_raw", "init_metadata"),
)
"""Methods that only such a class has."""

BASE: Final = "SeldonComponent"


def is_seldon(target: Any) -> bool:
    """Tell whether a class, or an instance of one, is written for Seldon Core.

    It is where it derives from SeldonComponent, has one of `METHODS`, or a predict whose second
    parameter has one of the names `BESIDE`.
    """
    kind = target if isinstance(target, type) else type(target)
    if any(base.__name__ == BASE for base in kind.__mro__):
        return True
    if any(inspect.isroutine(getattr(kind, name, None)) for name in METHODS):
        return True
    beside = _beside(kind)
    return bool(beside) and beside[0] in BESIDE


def fault_of(target: Any) -> str | None:
    """Return why such a class cannot be called; None where it can."""
    kind = target if isinstance(target, type) else type(target)
    parameters = parameters_of(getattr(kind, "predict", None))
    if parameters is None:
        return None
    is_static = isinstance(inspect.getattr_static(kind, "predict"), staticmethod)
    own = parameters if is_static else parameters[1:]
    if not [each for each in own if each.kind is not inspect.Parameter.KEYWORD_ONLY]:
        return f"'{kind.__name__}.predict' takes no input: it is called as predict(X, names, meta)"
    needed = [each.name for each in own if each.default is each.empty]
    needed = [name for name, each in zip(needed, own) if each.kind not in _VARIADIC]
    if len(needed) > _MOST:
        return (
            f"'{kind.__name__}.predict' needs {', '.join(needed)}: "
            "it is called as predict(X, names, meta)"
        )
    return None


_MOST: Final = 3


def _beside(kind: type) -> list[str]:
    """Return the names of what predict takes beside the data."""
    parameters = parameters_of(getattr(kind, "predict", None))
    if parameters is None:
        return []
    is_static = isinstance(inspect.getattr_static(kind, "predict"), staticmethod)
    own = parameters if is_static else parameters[1:]
    return [each.name for each in own if each.kind not in _VARIADIC][1:]


def parameters_of(call: Any) -> list[inspect.Parameter] | None:
    """Return the parameters of a callable; None where they are not known."""
    try:
        return list(inspect.signature(call).parameters.values())
    except (ValueError, TypeError):
        return None


_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

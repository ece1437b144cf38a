"""`test_predict_function`: a function's answer to a query, without a cluster. Used by
clipper_admin.py.

The types are checked as Clipper checks them: numbers must be exactly of the type, texts are known
under the word "string", and what it finds wrong it returns as a text.
"""

import importlib
import io
from collections.abc import Callable, Mapping
from typing import Any, Final

from servd.clipper.container_manager import ClusterAdapter

_NUMPY: Final = {
    "bytes": ("int8", bytes),
    "integers": ("int32", int),
    "floats": ("float32", float),
    "doubles": ("float64", float),
    "string": ("str_", str),
}
"""What inputs are made of before a function gets them, and what each item must be."""

_PROTOCOL: Final = 2
"""Of the pickle, as Clipper has it."""


def predicted(
    query: Mapping[str, Any],
    function: Callable[[Any], Any],
    input_type: str,
    logger: ClusterAdapter,
) -> Any:
    """Return what the function answers, or a text that says what is wrong with the query."""
    inputs = list(query.values())
    if next(iter(query)) == "input_batch":
        inputs = inputs[0]
    try:
        items = [item for each in inputs for item in each]
    except TypeError:
        return "Invalid input type or JSON key"
    made = None
    if input_type in _NUMPY:
        name, kind = _NUMPY[input_type]
        make = getattr(importlib.import_module("numpy"), name)
        made = [make(each) for each in inputs]
        if any(type(item) is not kind for item in items):
            return "Invalid input type"
    reloaded = _round_trip(function)
    if not reloaded:
        logger.error("Function does not properly serialize and reload")
        return "Function does not properly serialize and reload"
    return reloaded(made)


def _round_trip(function: Callable[[Any], Any]) -> Any:
    """Return the function as a replica would get it."""
    written = io.BytesIO()
    importlib.import_module("cloudpickle").CloudPickler(written, _PROTOCOL).dump(function)
    return importlib.import_module("pickle").loads(written.getvalue())

"""skops' files: scikit-learn models that name their types, of which each is trusted or not.

A zip with arrays and a schema.json, which has a node for each object: its module, its class and its
content. Which types are not trusted skops itself tells where the model is loaded
(model_runtime/loaders/skops.py), before it loads any.
"""

import sys
from typing import Any, Final

from model_runtime.contract import distribution
from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.json_parts import nodes, parsed
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_SCHEMA: Final = "schema.json"
_MOST_BYTES: Final = 64 << 20
_VERSION: Final = "_sklearn_version"
_COLUMNS: Final = "feature_names_in_"
"""What was fitted on a table gets tables."""


def _detect(peek: Peek) -> bool:
    return _SCHEMA in peek.names


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    schema = parsed(peek, _SCHEMA, peek.member(_SCHEMA, _MOST_BYTES))
    if not isinstance(schema.get("__module__"), str):
        raise TargetError(f"{peek.name} is not a skops file: its {_SCHEMA} names no type")
    written_by = schema.get("_skops_version")
    version = written_by if isinstance(written_by, str) else ""
    sklearn = _sklearn_version(schema)
    libraries = [
        Need(
            module=name,
            distribution=distribution(name),
            made_with=sklearn if name == "sklearn" else "",
        )
        for name in _libraries(schema)
    ]
    if any(_COLUMNS in node for node in nodes(schema)):
        libraries.append(Need(module="pandas", distribution="pandas"))
    made_with = f", scikit-learn {sklearn}" if sklearn else ""
    return Inspected(
        summary=f"skops {version}{made_with}, {schema.get('__class__')}",
        needs=(Need(module="skops", distribution="skops"), *libraries),
        trust=asked.trust,
    )


def _libraries(schema: Any) -> list[str]:
    """Return the top-level modules of a file's types that are to be installed."""
    told = (node.get("__module__") for node in nodes(schema))
    tops = {name.partition(".")[0] for name in told if isinstance(name, str)}
    return sorted(tops - sys.stdlib_module_names - {"skops"})


def _sklearn_version(schema: Any) -> str:
    """Return the version of scikit-learn that a file's models were made with, where they say it."""
    for node in nodes(schema):
        told = node.get(_VERSION)
        content = told.get("content") if isinstance(told, dict) else None
        if isinstance(content, str):
            return content.strip('"')
    return ""


FORMAT: Final = Format(name="skops", what="a skops file", detect=_detect, inspect=_inspect)

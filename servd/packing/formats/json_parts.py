"""The JSON that lies in models' files: read into objects, and walked. Used by formats."""

import json
from collections.abc import Iterator
from typing import Any

from servd.errors import TargetError
from servd.packing.formats.peek import Peek


def parsed(peek: Peek, name: str, content: bytes) -> dict[str, Any]:
    """Return the object that a part of a file or folder holds; `name` is the part's.

    Raises:
        TargetError: it is no JSON, or no object.
    """
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TargetError(f"{peek.name} is damaged: its {name} is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise TargetError(f"{peek.name} is damaged: its {name} is no object")
    return told


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a JSON value, from its root on."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)

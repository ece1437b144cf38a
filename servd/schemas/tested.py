"""A replica's test call in words: what was tried, and what came. Used by the CLI and imaging.

Nothing is said that the replica has not (docs/protocol.md): one of an earlier servd says less.
"""

import json
from typing import Any, Final

from servd.schemas.examples import brief

UNSAID: Final = "it does not say whether it was tested"
_OK: Final = "test call ok"
_SHOWN: Final = 80
_ORIGINS: Final = {
    "example": "the input of --example",
    "signature": "an input made up by what the model takes",
    "guess": "a guessed input: --example gives another",
}


def tested(test: dict[str, Any]) -> str:
    """Return what is known of a test call, on one line."""
    state = test.get("state")
    if state == "ok":
        return _answered(test)
    if state == "unproven":
        return f"NOT TESTED: say what an input looks like with --example{_tried(test)}"
    if state == "started":
        return "serving"
    return "not tested, as --skip-test says" if state == "skipped" else UNSAID


def cut(value: Any) -> str:
    """Return a JSON value as text that is short enough for a line among others."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else brief(value, _SHOWN)


def _answered(test: dict[str, Any]) -> str:
    given, came = _input(test), _output(test)
    if not (given and came):
        return _OK
    took_ms = test.get("call_ms")
    took = f" in {took_ms or 'under 0.1'} ms" if isinstance(took_ms, int | float) else ""
    origin = _ORIGINS.get(str(test.get("origin")))
    return f"tested with {given} -> {came}{took}{f' ({origin})' if origin else ''}"


def _input(test: dict[str, Any]) -> str:
    size = test.get("input_bytes")
    if isinstance(size, int):
        media = str(test.get("media", ""))
        what = "a picture of " if media.startswith("image/") else ""
        return f"{what}{size:,} bytes"
    return cut(test["input"]) if "input" in test else ""


def _output(test: dict[str, Any]) -> str:
    size = test.get("output_bytes")
    if isinstance(size, int):
        return f"{size:,} bytes of JSON"
    if "output" not in test:
        return ""
    shown = cut(test["output"])
    return f"{shown}, its first item," if test.get("is_stream") else shown


def _tried(test: dict[str, Any]) -> str:
    """Return what a model has raised on, where the replica says it."""
    tried = test.get("tried")
    if not isinstance(tried, list) or not tried:
        return ""
    return f" (it raised on {', '.join(map(str, tried))})"

"""What the keys of a body without "input" tell of what was meant. Used by clipper*.py."""

from typing import Any, Final

from servd.schemas.faults import shown, similar

_ONE: Final = 'name it "input" (one input) or "input_batch" (a list of inputs)'
_MEANT: Final = {
    "inputs": _ONE,
    "data": _ONE,
    "instances": 'name it "input_batch"',
    "inputBatch": 'name it "input_batch"',
    "ndarray": 'name it "input_batch"',
    "dataframe_records": 'name it "input_batch"',
    "dataframe_split": 'send "input_batch": a list of objects by column, or an object of columns',
    "rows": 'name it "input_batch"',
    "records": 'name it "input_batch"',
    "features": _ONE,
    "x": _ONE,
    "X": 'name it "input_batch"',
    "prompt": 'name it "input"',
    "text": 'name it "input"',
}
"""The words of other servers, and what they are here."""

_KEYS: Final = ("input", "input_batch")


def hint_of(content: dict[str, Any], names: list[str]) -> str:
    """Return what goes on after "input:" where a body has neither of the two."""
    keys = [key for key in content if key != "version"]
    if not keys:
        return 'missing; the body is to have "input" (one input) or "input_batch" (several)'
    have = f"missing; the body has {_quoted(keys)}"
    if any(key in names for key in keys[:_LOOKED_AT]):
        return f'{have}: put the fields into "input"'
    for key in keys[:_LOOKED_AT]:
        meant = similar(key, _KEYS)
        if key in _MEANT:
            return f"{have}: {_MEANT[key]}"
        if meant:
            return f'{have}: name it "{meant}"'
    return f'{have}: send "input" (one input) or "input_batch" (several)'


def _quoted(keys: list[str]) -> str:
    some = (key if len(key) <= _NAME else f"{key[:_NAME]}…" for key in keys[:_SHOWN])
    return ", ".join(map(shown, some)) + (", …" if len(keys) > _SHOWN else "")


_SHOWN: Final = 5
_NAME: Final = 30
_LOOKED_AT: Final = 20

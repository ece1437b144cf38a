"""A model's outputs as raw tensors where they are numpy's and that is wanted, else as JSON texts.

Called by the predictors for a batch with `wanted` outputs; connection.py sends what comes of it.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from model_runtime import tensors
from model_runtime.outputs import render

_KINDS: Final = frozenset("biuf")
"""numpy's kinds of dtype that tensors have: what has no element of a fixed size is written as JSON,
which says what it is."""


class RawOutput:
    """One output as tensors, in pieces to be joined. One without a name has the empty one."""

    __slots__ = ("_size", "pieces")

    def __init__(self, pieces: list[tensors.Buffer]) -> None:
        self.pieces = pieces
        self._size = sum(map(len, pieces))

    def __len__(self) -> int:
        return self._size


def render_wanted(outputs: Any, count: int, wanted: bytes) -> list[bytes | RawOutput]:
    """Return each of the `count` outputs: raw where it may be and can, else its JSON text.

    Raises:
        OutputError: as `render` does.
    """
    if not (isinstance(outputs, (list, tuple)) or _is_rows(outputs)) or len(outputs) != count:
        return [*render(outputs, count)]
    found: dict[int, RawOutput] = {}
    for at, is_wanted in enumerate(wanted):
        raw = _raw(outputs[at]) if is_wanted else None
        if raw is not None:
            found[at] = raw
    others = [at for at in range(count) if at not in found]
    left = outputs[others] if _is_rows(outputs) else [outputs[at] for at in others]
    made: list[bytes | RawOutput] = [*found.values()]
    if others:
        made = [*render(left, len(others))]
        for at, raw in found.items():  # in their order: each finds its place
            made.insert(at, raw)
    return made


def _raw(output: Any) -> RawOutput | None:
    """Return an output as tensors; None where it is none, or they cannot say what JSON says."""
    named = output if type(output) is dict else {"": output}
    made = []
    for name, value in named.items():
        tensor = _tensor(name, value)
        if tensor is None:
            return None
        made.append(tensor)
    try:
        return RawOutput(tensors.pack(made))
    except ValueError:  # of no tensor, of too many or with too long a name
        return None


def _tensor(name: Any, value: Any) -> tensors.Tensor | None:
    np: Any = sys.modules.get("numpy")  # whoever has made an array has imported it
    if np is None or type(name) is not str or not isinstance(value, (np.ndarray, np.generic)):
        return None
    dtype = value.dtype
    if dtype.kind not in _KINDS or dtype.name not in tensors.WIDTHS:
        return None
    # Of a subclass only numpy's own is sure to be no more than its memory: others have masks.
    if isinstance(value, np.ndarray) and type(value) not in (np.ndarray, np.memmap):
        return None
    flat = np.ascontiguousarray(value, dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    return tensors.Tensor(name, dtype.name, value.shape, flat.data)


def _is_rows(outputs: Any) -> bool:
    """Tell whether outputs are an array of them."""
    np: Any = sys.modules.get("numpy")
    return np is not None and type(outputs) in (np.ndarray, np.memmap) and outputs.ndim > 0

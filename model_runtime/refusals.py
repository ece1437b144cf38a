"""Inputs that a model's own types refuse, and batches of which only some inputs failed.

Raised where arguments are made (annotations/), where rows become tables (frames.py) and where the
model is called (calling.py); told by the loop (docs/protocol.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Union

Place = tuple[Union[str, int], ...]

MAX_FAULTS = 20
_MAX_TOLD = 3
_MAX_SHOWN = 60
_MAX_LISTED = 8
_TOGETHER = {"loc": [], "msg": "the rows cannot be in one table", "type": "value_error"}


class InputError(ValueError):
    """An input is not what the model takes.

    `faults` says so part by part: `loc` is where in the input (names and places), `msg` what was
    wanted and found there, `type` a word for programs.
    """

    def __init__(self, faults: Sequence[dict[str, Any]]) -> None:
        self.faults = [*faults[:MAX_FAULTS]]
        told = "; ".join(map(_told, self.faults[:_MAX_TOLD]))
        more = f"; and {len(self.faults) - _MAX_TOLD} more" if len(self.faults) > _MAX_TOLD else ""
        super().__init__(told + more)

    def below(self, name: str | int) -> InputError:
        """Return it as one of what holds this as its part of that name."""
        return InputError([{**each, "loc": [name, *each["loc"]]} for each in self.faults])


class UnfitRowsError(InputError):
    """Rows of a batch cannot be in what the model is called with.

    `errors` has those that cannot by their places in the batch; where it is empty, each can by
    itself, and they cannot be there together. `faults` are those of the first.
    """

    def __init__(self, errors: Mapping[int, InputError]) -> None:
        self.errors = errors
        super().__init__(errors[min(errors)].faults if errors else [_TOGETHER])


def _told(fault: dict[str, Any]) -> str:
    where = shown_place(fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])


def shown_place(place: Iterable[str | int]) -> str:
    """Return a place as people write it: `rooms[0].size`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def fault(message: str, kind: str, place: Place = ()) -> InputError:
    """Return the error of one fault."""
    return InputError([{"loc": [*place], "msg": message, "type": kind}])


def unlike(wanted: str, found: Any, kind: str, place: Place = ()) -> InputError:
    """Return the error of a value that is not what was wanted."""
    return fault(f"wanted {wanted}, found {shown(found)}", kind, place)


def at(make: Callable[[Any], Any], value: Any, place: str | int) -> Any:
    """Return what is made of the value at a place; its faults say where they are."""
    try:
        return make(value)
    except InputError as error:
        raise error.below(place) from None


def shown(value: Any) -> str:
    """Return a JSON value in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value!r:.60}"
    if isinstance(value, str):
        text = value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"
        return f'the text "{text}"'
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def one_of(values: Sequence[Any]) -> str:
    """Return which values there are to choose from, in words."""
    some = ", ".join(json.dumps(value, ensure_ascii=False) for value in values[:_MAX_LISTED])
    more = f", … ({len(values)} in all)" if len(values) > _MAX_LISTED else ""
    return f"one of {some}{more}"


class Failed:
    """The failure of one input, beside the outputs of others."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class PartlyFailedError(Exception):
    """Some inputs of a batch failed, by themselves; the others were answered.

    `outcomes` has each input's output as a JSON text, or its failure.
    """

    def __init__(self, outcomes: Sequence[bytes | Failed]) -> None:
        count = sum(type(each) is Failed for each in outcomes)
        super().__init__(f"{count} of {len(outcomes)} inputs failed")
        self.outcomes = outcomes


def cause_of(error: BaseException) -> BaseException:
    """Return the first failure of a batch that failed in parts; anything else as it is."""
    if not isinstance(error, PartlyFailedError):
        return error
    return next((each.error for each in error.outcomes if isinstance(each, Failed)), error)

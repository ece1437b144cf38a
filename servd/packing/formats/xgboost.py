"""xgboost's own files: JSON, UBJSON, and the binary format of before 3.1.

JSON has what xgboost's model schema (doc/model.schema) says: a learner, and the version that wrote
it. The binary one begins with LearnerModelParam: 34 numbers of 4 bytes, then two texts, each behind
its length in 8 bytes (the objective and the booster).
"""

import json
import re
from typing import Final

from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_PARTS: Final = (
    rb"attributes|feature_names|feature_types|gradient_booster|learner_model_param"
    rb"|learner_train_param|objective"
)
_VERSIONED: Final = rb'(?:"version"\s*:\s*\[[\d\s,]*\]\s*,\s*)?'
_JSON: Final = re.compile(
    rb"\s*\{\s*" + _VERSIONED + rb'"learner"\s*:\s*\{\s*"(?:' + _PARTS + rb')"\s*:'
)
_UBJ: Final = re.compile(rb"\{L\x00{7}\x07learner\{L.{8}(?:" + _PARTS + rb")", re.DOTALL)
_JSON_VERSION: Final = re.compile(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]')
_UBJ_VERSION: Final = re.compile(
    rb"L\x00{7}\x07version\[(?:\$(?P<kind>.))?#L\x00{7}\x03(?P<numbers>.{3,27})\}$", re.DOTALL
)
_WIDTHS: Final = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}
_TYPES: Final = re.compile(rb"feature_types(.{0,60000}?)gradient_booster", re.DOTALL)
_CATEGORY: Final = (b'"c"', b"SL\0\0\0\0\0\0\0\x01c")
"""The type of a column of categories, in JSON and in UBJSON."""
_MARK: Final = b"binf"
_PARAM_BYTES: Final = 136
_BOOSTERS: Final = (b"gbtree", b"gblinear", b"dart")
_NAME: Final = re.compile(rb"[a-z]+:[a-z_]+")
_TABLES: Final = (Need(module="pandas", distribution="pandas"),)
_MOST_PARSED: Final = 64 << 20
"""Of a larger file only its ends are looked at."""


def _detect(peek: Peek) -> bool:
    head = peek.head
    return bool(_JSON.match(head) or _UBJ.match(head)) or _objective(head) is not None


def _objective(head: bytes) -> str | None:
    """Return the objective of a file in the binary format; None of another."""
    at = _PARAM_BYTES + (len(_MARK) if head.startswith(_MARK) else 0)
    objective, at = _text(head, at)
    booster, _ = _text(head, at)
    is_one = booster in _BOOSTERS and _NAME.fullmatch(objective) is not None
    return objective.decode() if is_one else None


def _text(head: bytes, at: int) -> tuple[bytes, int]:
    """Return a text behind its length, and where it ends."""
    end = at + 8 + int.from_bytes(head[at : at + 8], "little")
    return head[at + 8 : min(end, at + 72)], end


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    if _objective(peek.head) is not None:
        return _of_binary(peek)
    if _JSON.match(peek.head):
        kind, version = "JSON", _version_of_json(peek)
    elif _UBJ.match(peek.head):
        kind, version = "UBJSON", _version_of_ubj(peek)
    else:
        raise TargetError(f"{peek.name} is not an xgboost model: it has no learner")
    return Inspected(
        summary=f"xgboost {version}".strip() + f", {kind}",
        needs=(
            Need(module="xgboost", distribution="xgboost", made_with=version),
            *(_TABLES if _has_categories(peek.head) else ()),
        ),
    )


def _has_categories(head: bytes) -> bool:
    """Tell whether a model takes a table with categories, as far as its beginning tells."""
    told = _TYPES.search(head)
    return told is not None and any(mark in told[1] for mark in _CATEGORY)


def _of_binary(peek: Peek) -> Inspected:
    at = len(_MARK) if peek.head.startswith(_MARK) else 0
    numbers = [int.from_bytes(peek.head[at + 20 + i : at + 24 + i], "little") for i in (0, 4)]
    version = ".".join(map(str, numbers)) if any(numbers) else ""
    return Inspected(
        summary=f"xgboost {version}".strip() + ", binary",
        needs=(
            Need(
                module="xgboost",
                distribution="xgboost",
                at_most="3.0",
                why="is in xgboost's old binary format",
            ),
        ),
    )


def _version_of_json(peek: Peek) -> str:
    """Return the version that wrote a file.

    Raises:
        TargetError: it is damaged, or has no learner.
    """
    if not peek.tail.rstrip().endswith(b"}"):
        raise TargetError(f"{peek.name} is damaged: it ends too early")
    if peek.size <= _MOST_PARSED:
        _check_json(peek)
    found = _JSON_VERSION.search(peek.tail[-4096:]) or _JSON_VERSION.match(peek.head)
    return ".".join(number.decode() for number in found.groups()) if found else ""


def _check_json(peek: Peek) -> None:
    try:
        content = json.loads(peek.content())
    except RecursionError as error:
        raise TargetError(f"{peek.name} is damaged: it is nested too deep") from error
    except ValueError as error:
        raise TargetError(f"{peek.name} is damaged: {error}") from error
    learner = content.get("learner") if isinstance(content, dict) else None
    if not isinstance(learner, dict) or "gradient_booster" not in learner:
        raise TargetError(f"{peek.name} is not an xgboost model: its learner has no booster")


def _version_of_ubj(peek: Peek) -> str:
    """Return the version that wrote a file.

    Raises:
        TargetError: it is damaged.
    """
    if not peek.tail.endswith(b"}"):
        raise TargetError(f"{peek.name} is damaged: it ends too early")
    found = _UBJ_VERSION.search(peek.tail[-256:])
    if found is None:
        return ""
    content: bytes = found["numbers"]
    numbers: list[int] = []
    kind = found["kind"]
    while content and len(numbers) < 3:
        if found["kind"] is None:
            kind, content = content[:1], content[1:]
        width = _WIDTHS.get(kind, len(content))
        numbers.append(int.from_bytes(content[:width], "big"))
        content = content[width:]
    return ".".join(map(str, numbers))


FORMAT: Final = Format(name="xgboost", what="an xgboost model", detect=_detect, inspect=_inspect)

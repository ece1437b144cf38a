"""What xgboost's and lightgbm's models know of the table that they were fitted on.

Used by survey.py. Neither is imported here: their models are asked.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from model_runtime.frames import BOOL, CATEGORY, FLOAT, INT, TEXT, Dtype
from model_runtime.loaders.column import Column

_XGBOOST_KINDS: Final = {"int": INT, "i": BOOL, "float": FLOAT, "q": FLOAT}
_LIGHTGBM_CATEGORICAL: Final = re.compile(r"^\[categorical_feature: ([\d,]+)\]$", re.MULTILINE)
_UNNAMED: Final = re.compile(r"Column_\d+|f\d+")


def columns_of(model: Any, names: Sequence[str]) -> dict[str, Column] | None:
    """Return what a booster's model knows of its columns; None of another model."""
    library = type(model).__module__.partition(".")[0]
    if library == "xgboost" and callable(getattr(model, "get_booster", None)):
        return _xgboost(model.get_booster(), names)
    if library == "lightgbm" and hasattr(model, "booster_"):
        return _lightgbm(model.booster_, names)
    return None


def are_made_up(names: Sequence[str]) -> bool:
    """Tell whether a library has named the columns of a table without names."""
    return bool(names) and all(_UNNAMED.fullmatch(name) for name in names)


def _xgboost(booster: Any, names: Sequence[str]) -> dict[str, Column]:
    kinds = booster.feature_types or ["float"] * len(names)
    categories = _xgboost_categories(booster) if "c" in kinds else []
    found = {}
    for at, (name, kind) in enumerate(zip(names, kinds, strict=False)):
        if kind == "c":
            known = tuple(categories[at]) if at < len(categories) else ()
            found[name] = _category(known)
        else:
            found[name] = Column(Dtype(_XGBOOST_KINDS.get(kind, FLOAT)), takes_missing=True)
    return found


def _xgboost_categories(booster: Any) -> list[list[Any]]:
    """Return the categories of each column, as a model's JSON has them; none in older models.

    Texts are bytes and the offsets at which they begin (Arrow's layout).
    """
    try:
        content = json.loads(bytes(booster.save_raw("json")))
        told = content["learner"]["gradient_booster"]["model"]["cats"]["enc"]
    except (KeyError, TypeError, ValueError):
        return []
    return [_arrow_values(each) for each in told]


def _arrow_values(encoded: dict[str, Any]) -> list[Any]:
    values = encoded.get("values", [])
    offsets = encoded.get("offsets")
    if offsets is None:
        return list(values)
    content = bytes(value & 0xFF for value in values)
    ends = offsets[1:]
    return [content[at:end].decode() for at, end in zip(offsets, ends, strict=False)]


def _lightgbm(booster: Any, names: Sequence[str]) -> dict[str, Column]:
    found = {name: Column(Dtype(FLOAT), takes_missing=True) for name in names}
    known = booster.pandas_categorical or []
    told = _LIGHTGBM_CATEGORICAL.search(booster.model_to_string(num_iteration=1)) if known else None
    places = sorted(map(int, told[1].split(","))) if told else []
    if len(places) == len(known):
        for place, categories in zip(places, known, strict=True):
            found[names[place]] = _category(tuple(categories))
    return found


def _category(known: tuple[Any, ...]) -> Column:
    """Return a column of categories; of such that are not known anything goes."""
    if not known:
        return Column(Dtype(TEXT), takes_missing=True)
    return Column(Dtype(CATEGORY, known), enum=known, takes_missing=True)

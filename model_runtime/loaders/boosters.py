"""What xgboost's, lightgbm's and catboost's models know of the table that they were fitted on.

Used by survey.py. None is imported here: their models are asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from model_runtime.frames import BOOL, CATEGORY, FLOAT, INT, LABEL, NUMERIC, TEXT, VALUE, Dtype
from model_runtime.loaders.column import Column

_XGBOOST_KINDS: Final = {"int": INT, "i": BOOL, "float": FLOAT, "q": FLOAT}
_LIGHTGBM_CATEGORICAL: Final = re.compile(r"^\[categorical_feature: ([\d,]+)\]$", re.MULTILINE)
_LIGHTGBM_RANGES: Final = re.compile(r"^feature_infos=(.*)$", re.MULTILINE)
_MOST: Final = 1000
_UNNAMED: Final = re.compile(r"Column_\d+|f\d+")


def columns_of(model: Any, names: Sequence[str]) -> dict[str, Column] | None:
    """Return what a booster's model knows of its columns; None of another model."""
    if callable(getattr(model, "get_booster", None)):
        booster = model.get_booster()
        is_coded = hasattr(model, "is_booster")
        return _xgboost(booster, names, is_coded) if _library(booster) == "xgboost" else None
    if _library(getattr(model, "booster_", None)) == "lightgbm":
        return _lightgbm(model.booster_, names)
    if is_catboost(model):
        return _catboost(model, names)
    return None


def _library(model: Any) -> str:
    return type(model).__module__.partition(".")[0]


def is_catboost(model: Any) -> bool:
    """Tell whether a model is one of catboost's."""
    return type(model).__module__.partition(".")[0] == "catboost" and hasattr(model, "tree_count_")


def names_of(model: Any) -> list[str]:
    """Return the names of the columns of one of catboost's models, which keeps them by itself.

    Those of a table without names are their places.
    """
    names = list(model.feature_names_ or ()) if is_catboost(model) else []
    return [] if names == [str(at) for at in range(len(names))] else names


def are_made_up(names: Sequence[str]) -> bool:
    """Tell whether a library has named the columns of a table without names."""
    return bool(names) and all(_UNNAMED.fullmatch(name) for name in names)


def _xgboost(booster: Any, names: Sequence[str], is_coded: bool) -> dict[str, Column]:  # noqa: FBT001
    """Return a booster's columns.

    Of categories that are not in the model, as before xgboost 3.1, one that `is_coded` takes codes.
    """
    kinds = booster.feature_types or ["float"] * len(names)
    categories = _xgboost_categories(booster) if "c" in kinds else []
    found = {}
    for at, (name, kind) in enumerate(zip(names, kinds)):
        if kind == "c":
            known = tuple(categories[at]) if at < len(categories) else ()
            is_code = is_coded and not known
            code = Column(Dtype(INT), takes_missing=True)
            found[name] = code if is_code else _category(known)
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
    return [content[at:end].decode() for at, end in zip(offsets, ends)]


def _lightgbm(booster: Any, names: Sequence[str]) -> dict[str, Column]:
    content = booster.model_to_string(num_iteration=1)
    told = _LIGHTGBM_RANGES.search(content)
    ranges = told[1].split() if told else []
    # What goes from 0 to 1 may have been true and false.
    kinds = [NUMERIC if each == "[0:1]" else FLOAT for each in ranges] or [FLOAT] * len(names)
    found = {name: Column(Dtype(kind), takes_missing=True) for name, kind in zip(names, kinds)}
    known = booster.pandas_categorical or []
    told = _LIGHTGBM_CATEGORICAL.search(content)
    named = set(map(int, told[1].split(","))) if told else set()
    for place, categories in zip(_lightgbm_places(ranges, named, known), known):
        found[names[place]] = _category(tuple(categories))
    return found


def _lightgbm_places(
    ranges: Sequence[str], named: set[int], known: Sequence[Sequence[Any]]
) -> list[int]:
    """Return the places of the columns that have these categories, none where that is not clear.

    Of ordered categories, which are not `named`, a model only says that their column's values go
    from 0 to the last one.
    """
    fits = [
        [at for at, each in enumerate(ranges) if at in named or each == f"[0:{len(values) - 1}]"]
        for values in known
    ]
    ways = _rising(fits, named)
    return ways[0] if len(ways) == 1 else []


def _rising(fits: Sequence[Sequence[int]], needed: set[int]) -> list[list[int]]:
    """Return up to two rising choices of one place each in which all that are needed are."""
    ways: list[list[int]] = [[]]
    for places in fits:
        longer = ([*way, at] for way in ways for at in places if not way or at > way[-1])
        # Whoever has left out a needed place will not come back to it.
        ways = [way for way in longer if all(at in way for at in needed if at < way[-1])][:_MOST]
    return [way for way in ways if needed <= set(way)][:2]


def _catboost(model: Any, names: Sequence[str]) -> dict[str, Column]:
    """Return the columns by their kinds; of categories it has kept hashes, and takes any."""
    takes_missing = model.get_all_params().get("nan_mode") != "Forbidden"
    found = {name: Column(Dtype(NUMERIC), takes_missing=takes_missing) for name in names}
    kinds = (
        (model.get_cat_feature_indices(), LABEL),
        (model.get_text_feature_indices(), TEXT),
        (model.get_embedding_feature_indices(), VALUE),
    )
    for places, kind in kinds:
        found |= {names[place]: Column(Dtype(kind)) for place in places}
    return found


def _category(known: tuple[Any, ...]) -> Column:
    """Return a column of categories; of such that are not known anything goes."""
    if not known:
        return Column(Dtype(TEXT), takes_missing=True)
    return Column(Dtype(CATEGORY, known), enum=known, takes_missing=True)

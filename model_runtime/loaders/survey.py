"""What the parts of a fitted scikit-learn model learnt of the columns of its table, in fit.

Used by fitted.py. Nothing here imports scikit-learn: parts are known by their classes' names and by
the attributes that fit gives them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Optional

from model_runtime.failure import MODEL_ERRORS
from model_runtime.frames import BOOL, CATEGORY, FLOAT, INT, NUMERIC, TEXT, Dtype
from model_runtime.loaders import boosters, wholes
from model_runtime.loaders.column import Column, both, in_turn
from model_runtime.older import dataclass

_MAX_ENUM: Final = 2000
_MAX_DEPTH: Final = 16

VECTORIZERS: Final = frozenset({"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"})
_ENCODERS: Final = frozenset({"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"})
_IMPUTERS: Final = frozenset({"SimpleImputer", "KNNImputer", "IterativeImputer"})
_SCALERS: Final = frozenset(
    {
        *("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"),
        *("PowerTransformer", "QuantileTransformer"),
    }
)
"""These pass on what is missing, and have as many columns as they got."""
_TABLE_PARTS: Final = frozenset({"ColumnTransformer", "FunctionTransformer", *_ENCODERS})
"""Parts that may see more of a table than the numbers in it."""
_BOOSTERS: Final = ("catboost", "lightgbm", "xgboost")
_GRADIENT: Final = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")

Taking = Optional[bool]
"""Whether something takes what is missing: it does, does not, or hands it on (None)."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A part whose code is its author's: what it takes can only be tried.

    `names` are its columns; `is_series` where it gets one column and not a table.
    """

    part: Any
    names: tuple[str, ...]
    is_series: bool = False


class Survey:
    """What was found in a model, or in a part of one.

    `follows` tells whether what comes after the part takes what is missing, as `takes_missing`
    does. `is_plain` is False where a part sees more of a table than the numbers in it.
    """

    def __init__(self, *, follows: bool | None = None, depth: int = 0) -> None:
        self._follows = follows
        self._depth = depth
        self.columns: dict[str, Column] = {}
        self.opaque: list[Opaque] = []
        self.is_plain = True

    def visit(self, part: Any, names: Sequence[str]) -> None:
        """Learn what a fitted part knows of the columns that it gets."""
        kind = type(part).__name__
        if self._depth > _MAX_DEPTH:
            return
        self.is_plain &= is_sklearn(part) and kind not in _TABLE_PARTS
        if kind == "Pipeline":
            self._visit_steps([step for _, step in part.steps], names)
        elif kind == "ColumnTransformer":
            self._visit_columns(part, names)
        elif inner := list(_wrapped(part, names)):
            for each in inner:
                self._add_all(self._found_in(each, names, self._follows))
        else:
            self._visit_leaf(part, names)

    def _add_all(self, columns: dict[str, Column]) -> None:
        """Add what one part says of columns to what others have said that get the same."""
        for name, column in columns.items():
            known = self.columns.get(name)
            self.columns[name] = column if known is None else both(known, column)

    def _found_in(self, part: Any, names: Sequence[str], follows: Taking) -> dict[str, Column]:
        """Return what a part of this one says."""
        inner = Survey(follows=follows, depth=self._depth + 1)
        inner.visit(part, names)
        self.opaque += inner.opaque
        self.is_plain &= inner.is_plain
        return inner.columns

    def _visit_steps(self, steps: Sequence[Any], names: Sequence[str]) -> None:
        """Visit the steps of a pipeline as far as columns keep their places, or their names."""
        steps = [step for step in steps if step is not None and step != "passthrough"]
        outer = set(names)
        found: dict[str, Column] = {}
        for at, step in enumerate(steps):
            after = _first_told(steps[at + 1 :], self._follows)
            for name, column in self._found_in(step, names, after).items():
                if name in outer:
                    found[name] = in_turn(found[name], column) if name in found else column
            if at + 1 == len(steps):
                break
            if _is_opaque(step) and not _passes(step):
                # What is made of a table may have new columns; those of the old names stay.
                names = names_of(steps[at + 1]) or names
            elif not _keeps_columns(step, names, steps[at + 1]):
                break
        self._add_all(found)

    def _visit_columns(self, part: Any, names: Sequence[str]) -> None:
        for _, each, spec in part.transformers_:
            chosen = _chosen(spec, names)
            if isinstance(each, str) and each == "drop":
                self._add_all(dict.fromkeys(chosen, Column(takes_missing=True, is_used=False)))
            elif isinstance(each, str) or _passes(each):
                self._add_all(_numbers(chosen, self._follows, NUMERIC))
            elif _is_opaque(each):
                self._add_opaque(each, chosen, is_series=isinstance(spec, str))
            else:
                self._add_all(self._found_in(each, chosen, self._follows))

    def _visit_leaf(self, part: Any, names: Sequence[str]) -> None:
        if _passes(part):
            self._add_all(_numbers(names, self._follows))
        elif _is_opaque(part):
            self._add_opaque(part, names, is_series=False)
        else:
            told = _told_by(part, names)
            if told is None:
                mine = takes_missing(part)
                told = _numbers(names, self._follows if mine is None else mine)
                for name in wholes.fitted_on(part, names):
                    told[name] = replace(told[name], samples=(1,))
            elif type(part).__name__ in _GRADIENT:
                self.is_plain = False
            self._add_all(told)

    def _add_opaque(self, part: Any, names: Sequence[str], *, is_series: bool) -> None:
        self.is_plain = False
        self.opaque.append(Opaque(part, tuple(names), is_series))
        self._add_all(dict.fromkeys(names, Column(takes_missing=None)))


def _numbers(names: Iterable[str], takes: Taking, kind: str = FLOAT) -> dict[str, Column]:
    return dict.fromkeys(names, Column(Dtype(kind), takes_missing=takes))


def _told_by(part: Any, names: Sequence[str]) -> dict[str, Column] | None:
    """Return what a part knows of the values of its columns; None where that they are numbers."""
    kind = type(part).__name__
    if kind in VECTORIZERS:
        return dict.fromkeys(names, Column(Dtype(TEXT)))
    if kind in _ENCODERS and hasattr(part, "categories_"):
        return dict(zip(names, _encoded(part)))
    if kind == "SimpleImputer":
        return dict(zip(names, _imputed(part)))
    if kind in _GRADIENT and getattr(part, "is_categorical_", None) is not None:
        return dict(zip(names, _of_gradient(part)))
    return boosters.columns_of(part, names)


def _of_gradient(part: Any) -> Iterator[Column]:
    """Yield the columns of a gradient booster of scikit-learn, which has an encoder of its own."""
    encoder = part._preprocessor.transformers_[0][1]  # noqa: SLF001  (nothing else has them)
    known = iter(encoder.categories_)
    for is_category in part.is_categorical_:
        if is_category:
            values = tuple(v for v in map(_plain, next(known)) if not _is_missing(v))
            yield Column(Dtype(CATEGORY, values), enum=values, takes_missing=True)
        else:
            yield Column(Dtype(FLOAT), takes_missing=True)


def names_of(part: Any) -> list[str]:
    """Return the names of the columns that a part was fitted on; none where it knows none."""
    try:
        names = getattr(part, "feature_names_in_", None)
        if names is None:
            # A pipeline or a search has those of what gets its table, unless that is catboost's.
            inner = getattr(part, "best_estimator_", None)
            steps = getattr(part, "steps", None)
            first = steps[0][1] if isinstance(steps, list) and steps else inner
            return boosters.names_of(part) if first is None else names_of(first)
        return [str(name) for name in names]
    except MODEL_ERRORS:  # a property of the part's own, which may raise anything
        return []


def is_sklearn(part: Any) -> bool:
    """Tell whether a part is one of scikit-learn's own."""
    return type(part).__module__.partition(".")[0] == "sklearn"


def _first_told(parts: Iterable[Any], otherwise: Taking) -> Taking:
    """Return what the first of several parts says that does not hand on what is missing."""
    told = (takes for part in parts if (takes := takes_missing(part)) is not None)
    return next(told, otherwise)


def takes_missing(part: Any) -> Taking:
    """Tell whether a part of a pipeline takes what is missing; None: it hands it on."""
    kind = type(part).__name__
    if kind == "Pipeline":
        return _first_told((step for _, step in part.steps), None)
    if kind in _IMPUTERS or kind in _GRADIENT:
        return True
    if type(part).__module__.partition(".")[0] in _BOOSTERS:
        return True
    if kind in _SCALERS or kind in ("ColumnTransformer", "FunctionTransformer"):
        return None
    # Trees take it too, but do not tell whether they have seen any, or guess.
    return False


def _flat(values: Any) -> list[Any]:
    return list(values.flat) if hasattr(values, "flat") else list(values)


def _is_opaque(part: Any) -> bool:
    """Tell whether what a part does is its author's code."""
    if isinstance(part, str):
        return False
    is_booster = type(part).__module__.partition(".")[0] in _BOOSTERS or hasattr(part, "is_booster")
    is_known = is_sklearn(part) or is_booster
    return not is_known or type(part).__name__ == "FunctionTransformer"


def _passes(part: Any) -> bool:
    """Tell whether a part hands on what it gets."""
    return type(part).__name__ == "FunctionTransformer" and part.func is None


def _keeps_columns(step: Any, names: Sequence[str], following: Any) -> bool:
    """Tell whether the next step's columns are the same, in the same places."""
    if type(step).__name__ not in _SCALERS | _IMPUTERS and not _passes(step):
        return False
    return getattr(following, "n_features_in_", None) == len(names)


def _wrapped(part: Any, names: Sequence[str]) -> Iterator[Any]:
    """Yield the fitted models in a model around models that get the same columns."""
    inner = [
        getattr(part, name, None)
        for name in ("best_estimator_", "estimator_", "regressor_", "estimator")
    ]
    inner += [getattr(e, "estimator", None) for e in getattr(part, "calibrated_classifiers_", ())]
    inner += _flat(getattr(part, "estimators_", ()))
    inner += [each for _, each in getattr(part, "transformer_list", ())]
    for each in inner:
        if each is None or isinstance(each, str):
            continue
        if names_of(each) == list(names) or type(part).__name__ == "FeatureUnion":
            yield each


def _chosen(spec: Any, names: Sequence[str]) -> list[str]:
    """Return the names of the columns that a transformer of a ColumnTransformer gets."""
    if isinstance(spec, str):
        return [spec]
    if isinstance(spec, slice):
        if isinstance(spec.start, str) or isinstance(spec.stop, str):
            first = names.index(spec.start) if isinstance(spec.start, str) else 0
            last = names.index(spec.stop) if isinstance(spec.stop, str) else len(names) - 1
            return list(names[first : last + 1 : spec.step])
        return list(names[spec])
    if isinstance(spec, int):
        return [names[spec]]
    listed = list(spec)
    if listed and all(type(each).__name__ in ("bool", "bool_") for each in listed):
        return [name for name, is_chosen in zip(names, listed) if is_chosen]
    return [each if isinstance(each, str) else names[int(each)] for each in listed]


def _encoded(part: Any) -> Iterator[Column]:
    """Yield what an encoder knows of each of its columns."""
    refuses = getattr(part, "handle_unknown", "error") == "error" and hasattr(
        part, "handle_unknown"
    )
    for known in part.categories_:
        values = [_plain(value) for value in known]
        missing = [value for value in values if _is_missing(value)]
        kept = tuple(value for value in values if not _is_missing(value))
        dtype = _dtype_of_values(kept)
        if dtype is not None and missing:
            dtype = replace(dtype, missing=missing[0])
        if dtype is not None and dtype.kind == INT and missing:
            dtype = Dtype(FLOAT)
        enum = kept if refuses and len(kept) <= _MAX_ENUM else None
        takes = bool(missing) or not refuses
        yield Column(dtype, enum, takes_missing=takes, samples=kept[:1])


def _imputed(part: Any) -> Iterator[Column]:
    """Yield what an imputer knows of each of its columns."""
    marks = part.missing_values
    fills: Iterable[Any] = part.statistics_
    fitted = getattr(getattr(part, "_fit_dtype", None), "kind", "")
    for fill in fills:
        is_text = isinstance(fill, str) and fitted not in ("f", "i", "u")
        if marks is None or _is_missing(_plain(marks)):
            yield Column(Dtype(TEXT if is_text else FLOAT, missing=marks), takes_missing=True)
        else:
            yield Column(Dtype(TEXT if is_text else FLOAT), takes_missing=False)


def _dtype_of_values(values: Sequence[Any]) -> Dtype | None:
    """Return the dtype of a column that has these values; None where they are of several."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return Dtype(TEXT)
    if kinds == {bool}:
        return Dtype(BOOL)
    if kinds == {int}:
        return Dtype(INT)
    return Dtype(FLOAT) if kinds and kinds <= {int, float} else None


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")

"""The signature of a fitted model: what it learnt of its inputs in fit. Used by pickle.py.

scikit-learn's models keep the names of the columns that they were fitted on, and their parts what
they need to know of each column's values; xgboost's and lightgbm's keep both.
"""

import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, SupportsIndex

from model_runtime.frames import VALUE, Dtype
from model_runtime.loaders import boosters, probing
from model_runtime.loaders.base import LoadError
from model_runtime.loaders.column import Column
from model_runtime.loaders.survey import VECTORIZERS, Survey, names_of
from model_runtime.manifest import AUTO, Manifest
from model_runtime.signature import MAX_FIELDS, Schema, Signature, SignatureError, check

DOUBLES: Final = "doubles"
ROWS: Final = "rows"
STRINGS: Final = "strings"
_VALUES: Final[dict[str, Schema]] = {STRINGS: {"type": "string"}}
_NUMBERS: Final = ("doubles", "floats", "integers")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a model knows of its inputs.

    `signature` has no fields where they have no names. `dtypes` are those of its table's columns,
    in the order in which it was fitted on them; empty where it takes no table.
    """

    signature: Signature
    dtypes: dict[str, Dtype] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)

    @property
    def row_items(self) -> int | None:
        """How many numbers an input must have; None where any or unknown."""
        value = self.signature.value or {}
        return value.get("maxItems") if self.signature.input_type in _NUMBERS else None


def learn(model: Any, manifest: Manifest) -> Learnt:
    """Return what counts as a model's inputs: what its deployer says, or else what it has learnt.

    Raises:
        LoadError: what the deployer says cannot be.
        ImportError: the model takes tables, and pandas is not installed.
    """
    given = manifest.input_type
    if given == AUTO:
        return _learnt(model)
    if given == ROWS:
        names = names_of(model)
        if not names:
            raise LoadError(
                f"{manifest.file} does not know the names of its columns, and inputs of type rows "
                "have names",
                hint="--columns 'age:float,city:str' gives them",
            )
        return _of_table(names, _surveyed(model, names)[0])
    if given in _NUMBERS:
        kind = "integer" if given == "integers" else "number"
        return Learnt(_of_numbers(given, items_of(model), _field_names(model), kind))
    return Learnt(Signature(input_type=given, value=_VALUES.get(given)))


def _learnt(model: Any) -> Learnt:
    """Return what a fitted model knows of its inputs: that they are numbers, where nothing."""
    if _reads_texts(model):
        return Learnt(Signature(input_type=STRINGS, value=_VALUES[STRINGS]))
    names = names_of(model)
    if not names or boosters.are_made_up(names):
        return Learnt(_of_numbers(DOUBLES, items_of(model)))
    columns, is_plain = _surveyed(model, names)
    if is_plain:
        return Learnt(_of_numbers(DOUBLES, len(names), _field_names(model)))
    return _of_table(names, columns)


def _surveyed(model: Any, names: Sequence[str]) -> tuple[dict[str, Column], bool]:
    """Return what is known of each column, and whether all are numbers, and none may be missing.

    Of a table of such a model's all parts take the numbers alone: an array of them does as well.
    """
    survey = Survey()
    survey.visit(model, names)
    is_plain = survey.is_plain and not any(each.takes_missing for each in survey.columns.values())
    known = {name: each.dtype for name, each in survey.columns.items() if each.dtype is not None}
    for opaque in survey.opaque:
        known |= probing.tried(opaque, known)
    columns = {
        name: replace(survey.columns.get(name, Column()), dtype=known.get(name, Dtype(VALUE)))
        for name in names
    }
    return columns, is_plain


def _field_names(model: Any) -> list[str] | None:
    """Return the names that the parts of a list of numbers have; None where it has none."""
    names = names_of(model)
    is_named = 0 < len(names) <= MAX_FIELDS and not boosters.are_made_up(names)
    return names if is_named and len(set(names)) == len(names) else None


def items_of(model: Any) -> int | None:
    """Return how many values an input has, where the model says so."""
    items = getattr(model, "n_features_in_", None)
    # numpy's whole numbers are not ints, but are as good.
    return operator.index(items) if isinstance(items, SupportsIndex) else None


def _reads_texts(part: Any, depth: int = 0) -> bool:
    """Tell whether the first thing that is done with inputs is to split texts into words."""
    if type(part).__name__ in VECTORIZERS:
        return True
    if depth > 8:
        return False
    steps = getattr(part, "steps", None) or getattr(part, "transformer_list", None)
    if steps:
        return _reads_texts(steps[0][1], depth + 1)
    inner = getattr(part, "best_estimator_", None)
    if inner is None:
        fitted = getattr(part, "calibrated_classifiers_", None)
        inner = getattr(fitted[0], "estimator", None) if fitted else None
    return inner is not None and _reads_texts(inner, depth + 1)


def _of_numbers(
    input_type: str, items: int | None, names: Sequence[str] | None = None, kind: str = "number"
) -> Signature:
    """Return the signature of a list of numbers, which may have names."""
    value: Schema = {"type": "array", "items": {"type": kind}}
    if items is not None:
        value |= {"minItems": items, "maxItems": items}
    if names is None:
        return Signature(input_type=input_type, value=value)
    fields: dict[str, Schema] = {name: {"type": kind} for name in names}
    return Signature(input_type=input_type, value=value, fields=fields, required=tuple(names))


def _of_table(names: Sequence[str], columns: dict[str, Column]) -> Learnt:
    """Return what is known of a model that takes a table.

    Raises:
        LoadError: inputs cannot be objects with these names.
    """
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise LoadError(
            f"the model was fitted on a table with {len(twice)} names that several columns have "
            f"({', '.join(twice[:5])}): which is which cannot be said",
            hint="give the columns names of their own, and fit it again",
        )
    fields = {name: columns[name].schema() for name in names}
    required = tuple(name for name in names if "default" not in fields[name])
    signature = Signature(input_type=ROWS, fields=fields, required=required)
    try:
        check(signature)
    except SignatureError as error:
        raise LoadError(f"the model's inputs: {error}") from error
    dtypes = {name: columns[name].dtype or Dtype(VALUE) for name in names}
    return Learnt(signature, dtypes, columns)

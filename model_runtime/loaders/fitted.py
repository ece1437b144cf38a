"""The signature of a fitted model: what it learnt of its inputs in fit. Used by pickle.py.

scikit-learn's models keep the names of the columns that they were fitted on, and their parts what
they need to know of each column's values; xgboost's, lightgbm's and catboost's keep both.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any, Final, SupportsIndex

from model_runtime.failure import MODEL_ERRORS
from model_runtime.frames import CATEGORY, FLOAT, INT, LABEL, TEXT, VALUE, Dtype, dtype_of
from model_runtime.loaders import boosters, probing
from model_runtime.loaders.base import LoadError
from model_runtime.loaders.column import Column
from model_runtime.loaders.given import (
    Given,
    columns_of_example,
    dtype_by,
    fields_of,
    given_by,
    given_of,
)
from model_runtime.loaders.survey import VECTORIZERS, Survey, names_of
from model_runtime.manifest import AUTO, Manifest
from model_runtime.older import dataclass
from model_runtime.signature import MAX_FIELDS, Schema, Signature, SignatureError, check

DOUBLES: Final = "doubles"
ROWS: Final = "rows"
STRINGS: Final = "strings"
_VALUES: Final[dict[str, Schema]] = {STRINGS: {"type": "string"}}
_READERS: Final = {"DictVectorizer": "any"}
"""What takes neither numbers nor texts."""
_NUMBERS: Final = ("doubles", "floats", "integers")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a model knows of its inputs.

    `signature` has no fields where they have no names. `dtypes` are those of its table's columns,
    in the order in which it was fitted on them; empty where it takes no table.
    """

    signature: Signature
    dtypes: dict[str, Dtype] = field(default_factory=dict)

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
    learnt = _of_type(model, manifest)
    extra = manifest.extra or learnt.signature.extra
    return replace(learnt, signature=replace(learnt.signature, extra=extra))


def _of_type(model: Any, manifest: Manifest) -> Learnt:
    """Return what a model takes, of the type that its deployer says, or of its own."""
    names = [] if boosters.are_made_up(names_of(model)) else names_of(model)
    given = given_of(manifest)
    if given is None and not names and manifest.input_type in (AUTO, ROWS):
        names = _placed(model)
    if given is None and not names:
        given = given_by(manifest.example)
    kind = manifest.input_type
    if kind == AUTO:
        kind = _own_type(model, names, given)
    if kind in (ROWS, AUTO):
        return _of_columns(model, manifest, names)
    if kind in _NUMBERS:
        return Learnt(_of_numbers(kind, items_of(model), _number_fields(model, given, names)))
    return Learnt(Signature(input_type=kind, value=manifest.schema or _VALUES.get(kind)))


def _own_type(model: Any, names: Sequence[str], given: Given | None) -> str:
    """Return the type that a model without a given one takes; AUTO of what a table has to say."""
    first = _first_part(model)
    if first in VECTORIZERS or first in _READERS:
        return _READERS.get(first, STRINGS)
    if names:
        return AUTO
    return DOUBLES if given is None or _are_numbers(given, list(given.fields)) else ROWS


def _are_numbers(given: Given, names: Sequence[str]) -> bool:
    """Tell whether a list of numbers in the order of these names says all that is given."""
    return list(given.fields) == list(names) and all(
        dtype_of(each).kind in (FLOAT, INT) and "default" not in each
        for each in given.fields.values()
    )


def _of_columns(model: Any, manifest: Manifest, names: Sequence[str]) -> Learnt:
    """Return what is known of a model with named columns: a table, or numbers that have names."""
    given = given_of(manifest)
    example = columns_of_example(manifest.example)
    names = names or list(given.fields if given else example)
    if not names:
        raise LoadError(
            f"{manifest.file} does not know the names of its columns, and inputs of type rows "
            "have names",
            hint="--columns 'age:float,city:str' gives them",
        )
    columns, is_plain = _surveyed(model, names, manifest.method)
    for name, column in example.items():
        if name in columns and columns[name].dtype in (None, Dtype(VALUE)):
            columns[name] = replace(columns[name], dtype=column.dtype)
    if is_plain and manifest.input_type == AUTO and (given is None or _are_numbers(given, names)):
        fields = _number_fields(model, given, names)
        return Learnt(_of_numbers(DOUBLES, len(names), _exemplified(fields, columns)))
    learnt = _of_table(names, columns)
    return learnt if given is None else _overridden(learnt, columns, given)


def _overridden(learnt: Learnt, columns: dict[str, Column], given: Given) -> Learnt:
    """Return what is learnt with what is given in place of it."""
    fields, required = fields_of(given, columns)
    dtypes = {
        name: dtype_by(fields[name], columns[name]) if name in fields else dtype
        for name, dtype in learnt.dtypes.items()
    }
    signature = replace(
        learnt.signature, fields=fields, required=tuple(required), extra=given.extra
    )
    return Learnt(_checked(signature), dtypes)


def _exemplified(
    fields: dict[str, Schema] | None, columns: dict[str, Column]
) -> dict[str, Schema] | None:
    """Return the fields of numbers with values like those that the model was fitted on."""
    if fields is None:
        return None
    return {
        name: {"examples": list(columns[name].samples)} | schema
        if columns[name].samples
        else schema
        for name, schema in fields.items()
    }


def _number_fields(
    model: Any, given: Given | None, names: Sequence[str]
) -> dict[str, Schema] | None:
    """Return the fields of a list of numbers whose parts have names; None where they have none.

    Raises:
        LoadError: not as many as the model takes are named.
    """
    if given is None:
        return _field_names(names)
    if names:
        numbers = {name: Column(Dtype(FLOAT)) for name in names}
        fields = fields_of(given, numbers)[0]
        if list(fields) != list(names):
            raise LoadError(
                f"the schema names columns in the order {_listed(list(fields))}, and the model was "
                f"fitted on numbers in the order {_listed(names)}",
                hint="leave --input-type out for a table, in which the order is yours, or give the "
                "model's order",
            )
        return fields
    items = items_of(model)
    if items is not None and items != len(given.fields):
        raise LoadError(
            f"the schema names {len(given.fields)} columns ({', '.join(list(given.fields)[:12])}), "
            f"the model was fitted on {items}"
        )
    return given.fields


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _surveyed(model: Any, names: Sequence[str], method: str) -> tuple[dict[str, Column], bool]:
    """Return what is known of each column, and whether all are numbers, and none may be missing.

    Of a table of such a model's all parts take the numbers alone: an array of them does as well.
    """
    survey = _survey(model, names)
    is_plain = survey.is_plain and not any(each.takes_missing for each in survey.columns.values())
    known = {name: each.dtype for name, each in survey.columns.items() if each.dtype is not None}
    for opaque in survey.opaque:
        known |= probing.tried(opaque, known)
    columns = {
        name: replace(survey.columns.get(name, Column()), dtype=known.get(name, Dtype(VALUE)))
        for name in names
    }
    own = {name for opaque in survey.opaque for name in opaque.names if name in columns}
    for name in probing.null_in(own, columns, getattr(model, method, None)):
        columns[name] = replace(columns[name], takes_missing=True)
    return columns, is_plain


def _survey(model: Any, names: Sequence[str]) -> Survey:
    """Return what a model's parts say; nothing of a model whose parts are not what they seem."""
    survey = Survey()
    try:
        survey.visit(model, names)
    except MODEL_ERRORS:  # of another release, or a class of the author's that is called alike
        survey = Survey()
        survey.is_plain = False
    return survey


def _field_names(names: Sequence[str]) -> dict[str, Schema] | None:
    """Return the fields of a list of numbers; None where they have no names of their own."""
    is_named = 0 < len(names) <= MAX_FIELDS and len(set(names)) == len(names)
    return {name: {"type": "number"} for name in names} if is_named else None


def items_of(model: Any) -> int | None:
    """Return how many values an input has, where the model says so."""
    if boosters.is_catboost(model):
        return len(model.feature_names_)  # the number itself is not in its pickles
    items = getattr(model, "n_features_in_", None)
    # numpy's whole numbers are not ints, but are as good.
    return operator.index(items) if isinstance(items, SupportsIndex) else None


def _first_part(part: Any, depth: int = 0) -> str:
    """Return the name of the class of what gets a model's inputs first."""
    steps = getattr(part, "steps", None) or getattr(part, "transformer_list", None)
    inner = getattr(part, "best_estimator_", None)
    if isinstance(steps, list) and steps:
        inner = steps[0][1]
    if inner is None:
        fitted = getattr(part, "calibrated_classifiers_", None)
        inner = getattr(fitted[0], "estimator", None) if isinstance(fitted, list) else None
    return type(part).__name__ if inner is None or depth > 8 else _first_part(inner, depth + 1)


def _placed(model: Any) -> list[str]:
    """Return names for columns that a model knows by their places; none where they are numbers.

    As scikit-learn names them: x0, x1, and so on.
    """
    items = items_of(model) or 0
    names = [f"x{at}" for at in range(items)] if 0 < items <= MAX_FIELDS else []
    survey = _survey(model, names)
    kinds = {each.dtype.kind for each in survey.columns.values() if each.dtype is not None}
    return names if kinds & {TEXT, CATEGORY, LABEL} else []


def _of_numbers(input_type: str, items: int | None, fields: dict[str, Schema] | None) -> Signature:
    """Return the signature of a list of numbers, which may have names."""
    kind = "integer" if input_type == "integers" else "number"
    value: Schema = {"type": "array", "items": {"type": kind}}
    items = items if fields is None else len(fields)
    if items is not None:
        value |= {"minItems": items, "maxItems": items}
    if fields is None:
        return Signature(input_type=input_type, value=value)
    named = {
        name: schema | ({"type": kind} if kind == "integer" else {})
        for name, schema in fields.items()
    }
    required = tuple(name for name, schema in named.items() if "default" not in schema)
    return _checked(Signature(input_type=input_type, value=value, fields=named, required=required))


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
    signature = _checked(Signature(input_type=ROWS, fields=fields, required=required))
    return Learnt(signature, {name: columns[name].dtype or Dtype(VALUE) for name in names})


def _checked(signature: Signature) -> Signature:
    try:
        check(signature)
    except SignatureError as error:
        raise LoadError(f"the model's inputs: {error}") from error
    return signature

"""What a fitted model answers: labels, probabilities by class, or both. Used by pickle.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from model_runtime.failure import MODEL_ERRORS
from model_runtime.loaders.base import LoadError
from model_runtime.loaders.boosters import is_catboost
from model_runtime.manifest import Manifest
from model_runtime.older import zip
from model_runtime.outputs import render
from model_runtime.signature import Schema

_MAX_CLASSES: Final = 1000
_PREDICT: Final = "predict"
_PROBA: Final = "predict_proba"
_FINITE: Final[Schema] = {"type": "number"}
_NUMBERS: Final[Schema] = {"anyOf": [_FINITE, {"type": "array", "items": _FINITE}]}
"""What a regressor answers: of one output, or of several. The test call shows which."""

Call = Callable[[Any], Any]


def answering(model: Any, call: Call, manifest: Manifest) -> tuple[Call, Schema]:
    """Return what is called with a batch of a model's inputs, and the schema of each output.

    `call` is the method that the manifest names.

    Raises:
        LoadError: what of a classifier's answers is wanted is not to be had.
    """
    known = _classes_of(model)
    if known is not None and is_catboost(_last_of(model)) and manifest.method == _PREDICT:
        call = _flat(call)
    if manifest.output is None:
        return call, _schema_of(model, manifest.method, known)
    if known is None:
        raise LoadError(
            f"--output {manifest.output} is for classifiers: {manifest.file} holds a "
            f"{type(model).__name__}, which knows no classes",
            hint="leave --output out",
        )
    _check_method(manifest)
    if manifest.output == "labels":
        return _labels(model), _schema_of(model, _PREDICT, known)
    if not callable(getattr(model, _PROBA, None)):
        raise LoadError(
            f"--output {manifest.output} needs {_PROBA}, which {type(model).__name__} has not",
            hint="--output labels, or fit it within sklearn.calibration.CalibratedClassifierCV",
        )
    named = _Named(known)
    if manifest.output == "proba":
        return lambda inputs: named.told(model.predict_proba(inputs)), named.schema()
    return _both(model, named), _schema_of_both(known, named)


def _check_method(manifest: Manifest) -> None:
    """Raise LoadError where --method and --output say different things."""
    fitting = {"labels": (_PREDICT,), "proba": (_PREDICT, _PROBA), "both": (_PREDICT,)}
    wanted = manifest.output or ""
    if manifest.method not in fitting[wanted]:
        raise LoadError(
            f"--method {manifest.method} and --output {wanted} say different things",
            hint="give one of them",
        )


def _classes_of(model: Any) -> list[Any] | None:
    """Return the classes of a classifier, a list of lists for several outputs; None of others."""
    try:
        classes = getattr(model, "classes_", None)
        listed = None if classes is None else [_plain(each) for each in classes]
    except MODEL_ERRORS:  # a property of the model's own, which may raise anything
        return None
    return listed or None


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _is_several(known: Sequence[Any]) -> bool:
    """Tell whether classes are those of several outputs."""
    return all(isinstance(each, list) for each in known)


class _Named:
    """Probabilities by the names of their classes."""

    def __init__(self, known: Sequence[Any]) -> None:
        self._is_several = _is_several(known)
        self._names = [list(map(_name, each)) for each in (known if self._is_several else [known])]
        for names in self._names:
            if len(set(names)) < len(names):
                raise LoadError(f"the model has classes of one name: {', '.join(names[:12])}")

    def told(self, table: Any) -> list[Any]:
        """Return the probabilities of each input; of several outputs a list of them."""
        if not self._is_several:
            return [dict(zip(self._names[0], row, strict=True)) for row in table.tolist()]
        each = [
            [dict(zip(names, row, strict=True)) for row in part.tolist()]
            for names, part in zip(self._names, table, strict=True)
        ]
        return list(map(list, zip(*each, strict=True)))

    def schema(self) -> Schema:
        """Return the schema of what `told` gives of one input."""
        each = [
            {
                "type": "object",
                "properties": dict.fromkeys(names, _FINITE),
                "required": names,
                "additionalProperties": False,
            }
            for names in self._names
        ]
        return {"type": "array", "prefixItems": each} if self._is_several else each[0]


def _name(value: Any) -> str:
    """Return the name that a class has in an object."""
    return value if isinstance(value, str) else json.dumps(value)


def _last_of(model: Any) -> Any:
    """Return the model that answers in a pipeline, or in a search around one."""
    inner = getattr(model, "best_estimator_", model)
    steps = getattr(inner, "steps", None)
    return steps[-1][1] if isinstance(steps, list) and steps else inner


def _labels(model: Any) -> Call:
    call: Call = model.predict
    return _flat(call) if is_catboost(_last_of(model)) else call


def _flat(call: Call) -> Call:
    """Return a call for catboost's labels, which of several classes are a table of one column."""

    def flat(inputs: Any) -> Any:
        labels = call(inputs)
        return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels

    return flat


def _both(model: Any, named: _Named) -> Call:
    predict = _labels(model)

    def call(inputs: Any) -> list[Any]:
        labels = predict(inputs).tolist()
        probabilities = named.told(model.predict_proba(inputs))
        return [
            {"label": label, "probabilities": told}
            for label, told in zip(labels, probabilities, strict=True)
        ]

    return call


def _schema_of_both(known: Sequence[Any], named: _Named) -> Schema:
    label: Schema = {} if _is_several(known) or len(known) > _MAX_CLASSES else {"enum": [*known]}
    return {
        "type": "object",
        "properties": {"label": label, "probabilities": named.schema()},
        "required": ["label", "probabilities"],
        "additionalProperties": False,
    }


def _schema_of(model: Any, method: str, known: Sequence[Any] | None) -> Schema:
    """Return the schema of an output of one of a model's methods; {} where it is not known."""
    if known is None:
        return _NUMBERS if method == _PREDICT and _is_regressor(model) else {}
    if _is_several(known) or len(known) > _MAX_CLASSES:
        return {}
    if method == _PREDICT:
        return {"enum": list(map(_answered, known))}
    if method == _PROBA:
        count = len(known)
        return {"type": "array", "items": _FINITE, "minItems": count, "maxItems": count}
    return {}


def _answered(label: Any) -> Any:
    """Return a label as clients read it: a text that is JSON is answered as that."""
    return json.loads(render([label], 1)[0])


def _is_regressor(model: Any) -> bool:
    """Tell whether a model predicts numbers."""
    tags = getattr(model, "__sklearn_tags__", None)
    try:
        said = tags() if callable(tags) else None
    except MODEL_ERRORS:
        return False
    return getattr(said, "estimator_type", None) == "regressor"

"""Loads MLflow's models by their pyfunc flavor, with the signature that they were saved with."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from model_runtime import mlflow_model
from model_runtime.failure import message_of
from model_runtime.frames import BOOL, DATE, FLOAT, INT, PANDAS, TEXT, VALUE, Dtype, frame_view
from model_runtime.inputs import View, viewer
from model_runtime.loaders.arrays import ArrayPredictor, Port, row_items, taken, view_of
from model_runtime.loaders.base import CallPredictor, LoadedModel, LoadError
from model_runtime.manifest import AUTO, Manifest
from model_runtime.signature import REFUSE, Schema, Signature, SignatureError, check

_OFFLINE: Final = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
_KINDS: Final[dict[str, tuple[str, Schema]]] = {
    "boolean": (BOOL, {"type": "boolean"}),
    "integer": (INT, {"type": "integer", "minimum": -(1 << 31), "maximum": (1 << 31) - 1}),
    "long": (INT, {"type": "integer"}),
    "float": (FLOAT, {"type": "number"}),
    "double": (FLOAT, {"type": "number"}),
    "string": (TEXT, {"type": "string"}),
    "datetime": (DATE, {"type": "string", "format": "date-time"}),
    "binary": (VALUE, {"type": "string", "contentEncoding": "base64"}),
}
"""How a column of MLflow's types is made of JSON, and its schema."""
_CASTS: Final = {"integer": "int32", "float": "float32", "datetime": "datetime64[ns]"}
"""What pandas has for MLflow's narrower types: it takes no wider ones."""
_EXAMPLE: Final = "serving_input_example.json"
_MAX_EXAMPLE_BYTES: Final = 1 << 16


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model of an MLflow folder; see `loaders.load`."""
    folder = (files / manifest.file).parent
    _check(folder)
    os.environ.update({name: os.environ.get(name, value) for name, value in _OFFLINE.items()})
    import mlflow.pyfunc  # noqa: PLC0415  (where the model runs, it is there)

    try:
        model = mlflow.pyfunc.load_model(str(folder))
    except Exception as error:
        raise LoadError(
            f"MLflow {mlflow.__version__} does not load {folder.name}: {message_of(error)}",
            hint="its requirements.txt says what it was saved with",
        ) from error
    inputs = getattr(model.metadata.signature, "inputs", None)
    info = {"object": f"MLflow, {_loader_of(model)}"}
    if inputs is not None and inputs.is_tensor_spec():
        return _of_tensors(model, inputs, manifest, info)
    if inputs is not None and inputs.has_input_names():
        return _of_columns(model, inputs, manifest, info, folder)
    return _of_values(model, inputs, manifest, info)


def _check(folder: Path) -> None:
    """Raise LoadError where an MLmodel names what lies outside its folder."""
    import yaml  # noqa: PLC0415  (MLflow has it)

    try:
        mlflow_model.checked(yaml.safe_load((folder / mlflow_model.NAME).read_bytes()))
    except (mlflow_model.UnfitModelError, yaml.YAMLError, OSError) as error:
        raise LoadError(f"{folder.name} cannot be served: {error}") from error


def _loader_of(model: Any) -> str:
    return str(getattr(model, "loader_module", "pyfunc"))


# --- arrays ---


def _of_tensors(model: Any, inputs: Any, manifest: Manifest, info: dict[str, Any]) -> LoadedModel:
    """Return a model that takes arrays; a first dimension of any length is the batch's."""
    specs = inputs.inputs
    is_whole = any(not each.shape or each.shape[0] not in (-1, 1) for each in specs)
    size = 1 if not is_whole and any(each.shape[0] == 1 for each in specs) else None
    ports = [
        Port(each.name or "input", _numpy_name(each.type), _shape(each.shape, is_whole=is_whole))
        for each in specs
    ]
    signature, settled = taken(ports, manifest)
    names = [each.name for each in specs]

    def call(*arrays: Any) -> Any:
        if names == [None]:
            return _as_arrays(model.predict(arrays[0]))
        return _as_arrays(model.predict({name: arrays[at] for at, name in enumerate(names)}))

    predictor = ArrayPredictor(call, view_of(signature, settled), size=size, is_whole=is_whole)
    items = row_items(signature)
    return LoadedModel(predictor, signature.input_type, items, info, signature=signature)


def _numpy_name(dtype: Any) -> str:
    return "str" if dtype.kind in "OUS" else str(dtype.name)


def _shape(shape: Any, *, is_whole: bool) -> tuple[int | None, ...]:
    told = tuple(None if each < 0 else int(each) for each in shape)
    return told if is_whole else told[1:]


def _as_arrays(value: Any) -> Any:
    """Return what a model returned with numpy's arrays in place of tables and lists."""
    import numpy as np  # noqa: PLC0415  (MLflow has it)

    if isinstance(value, Mapping):
        return {name: np.asarray(each) for name, each in value.items()}
    if hasattr(value, "columns"):
        return {str(name): np.asarray(value[name]) for name in value.columns}
    return np.asarray(value)


# --- columns with names ---


def _of_columns(
    model: Any, inputs: Any, manifest: Manifest, info: dict[str, Any], folder: Path
) -> LoadedModel:
    """Return a model that takes a table, whose columns have MLflow's types."""
    if manifest.input_type not in (AUTO, "rows"):
        raise LoadError(
            f"{folder.name} takes a table with the columns {', '.join(inputs.input_names()[:12])}, "
            f"and no {manifest.input_type}",
            hint="leave --input-type out",
        )
    columns = {each.name: each for each in inputs.inputs}
    examples = _examples(folder)
    fields: dict[str, Schema] = {}
    for name, each in columns.items():
        schema = dict(_kind(each)[1])
        if name in examples and examples[name] is not None:
            schema = {"examples": [examples[name]], **schema}
        fields[name] = schema if each.required else _optional(schema)
    required = tuple(name for name, each in columns.items() if each.required)
    signature = Signature(
        input_type="rows", fields=fields, required=required, extra=manifest.extra or REFUSE
    )
    try:
        check(signature)
    except SignatureError as error:
        raise LoadError(f"the signature of {folder.name}: {error}") from error
    dtypes = {name: Dtype(_kind(each)[0]) for name, each in columns.items()}
    view = _typed(frame_view(signature, PANDAS, dtypes), columns)
    predictor = CallPredictor(model.predict, view)
    return LoadedModel(predictor, "rows", None, info, signature=signature)


def _kind(column: Any) -> tuple[str, Schema]:
    """Return how a column is made; of arrays, objects and the like as JSON has them."""
    return _KINDS.get(getattr(column.type, "name", ""), (VALUE, {}))


def _optional(schema: Schema) -> Schema:
    kind = schema.get("type")
    nullable = {"type": [kind, "null"]} if isinstance(kind, str) else {}
    return {**schema, **nullable, "default": None}


def _typed(view: View, columns: Mapping[str, Any]) -> View:
    """Return a view whose columns are as narrow as MLflow wants them."""
    casts = {
        name: _CASTS[each.type.name]
        for name, each in columns.items()
        if getattr(each.type, "name", "") in _CASTS
    }
    binary = [name for name, each in columns.items() if getattr(each.type, "name", "") == "binary"]

    def typed(batch: Any) -> Any:
        frame = view(batch)
        for name, dtype in casts.items():
            if not (dtype == "int32" and frame[name].hasnans):
                frame[name] = frame[name].astype(dtype)
        for name in binary:
            frame[name] = frame[name].map(_decoded)
        return frame

    return typed


def _decoded(text: Any) -> Any:
    return base64.b64decode(text) if isinstance(text, str) else text


def _examples(folder: Path) -> dict[str, Any]:
    """Return the first row of the example that a model was saved with, by its columns' names."""
    path = folder / _EXAMPLE
    try:
        if path.stat().st_size > _MAX_EXAMPLE_BYTES:
            return {}
        told = json.loads(path.read_bytes())["dataframe_split"]
        return {str(name): told["data"][0][at] for at, name in enumerate(told["columns"])}
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return {}


# --- what has no names ---


def _of_values(model: Any, inputs: Any, manifest: Manifest, info: dict[str, Any]) -> LoadedModel:
    """Return a model that takes a list of values, of which at most the type is known."""
    only = inputs.inputs[0] if inputs is not None and len(inputs.inputs) == 1 else None
    schema = {} if only is None else _kind(only)[1]
    kind = manifest.input_type if manifest.input_type != AUTO else "any"
    if manifest.schema is not None and "properties" in manifest.schema:
        return _of_given(model, manifest, info)
    value = manifest.schema or schema or None
    signature = Signature(input_type=kind, value=value)
    call: Callable[[Any], Any] = model.predict
    predictor = CallPredictor(call, viewer(kind, as_lists=kind == "any"))
    return LoadedModel(predictor, kind, None, info, signature=signature)


def _of_given(model: Any, manifest: Manifest, info: dict[str, Any]) -> LoadedModel:
    """Return a model that takes a table with the columns that its deployer names."""
    fields = (manifest.schema or {})["properties"]
    required = tuple(name for name, each in fields.items() if "default" not in each)
    signature = Signature(input_type="rows", fields=fields, required=required)
    signature = replace(signature, extra=manifest.extra or REFUSE)
    predictor = CallPredictor(model.predict, frame_view(signature, PANDAS))
    return LoadedModel(predictor, "rows", None, info, signature=signature)

"""Loads ONNX models with onnxruntime. What inputs and outputs are the graph itself says.

An input of the model is a row of its inputs: their first dimension is the batch's where it is
dynamic, or of one size in all of them (`ports.py` says which); a model without one is called with
one input at a time. Outputs are what onnxruntime gives, a row of each by its name, or the row
itself where there is one only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from model_runtime import onnx_file, rows
from model_runtime.contract import THREAD_VARIABLES
from model_runtime.inputs import Batch, View, viewer
from model_runtime.loaders import ports
from model_runtime.loaders.base import CallPredictor, LoadedModel, LoadError
from model_runtime.loaders.onnx_values import known_by_encoders
from model_runtime.loaders.ports import Plan, Port
from model_runtime.manifest import AUTO, Manifest
from model_runtime.older import zip
from model_runtime.signature import Schema, Signature, SignatureError, check

_CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
_FATAL_ONLY: Final = 4  # what else it would write it raises
_OWN_TYPES: Final = {"float32": "floats", "float64": "doubles", "int32": "integers"}
"""The types of inputs that are a list of numbers, by what the model takes."""
_NUMBERS: Final = ("floats", "doubles", "integers")
_LABELS: Final = ("int64", "str")


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model of an ONNX file of the bundle; see `loaders.load`.

    Raises:
        LoadError: onnxruntime does not read it, or it takes what no input can be.
    """
    if manifest.method != "predict":
        raise LoadError(
            f"{manifest.file} is an ONNX model, which has no methods", hint="leave --method out"
        )
    session = _session(files / manifest.file)
    plan = ports.plan_of(session, manifest.file)
    signature, view = _inputs(plan, manifest)
    signature = _exemplified(signature, plan, files / manifest.file)
    call, output = _answering(_Calls(session, plan), plan, manifest)
    signature = replace(signature, output=output)
    try:
        check(signature)
    except SignatureError as error:
        raise LoadError(f"the inputs of {manifest.file}: {error}") from error
    items = (signature.value or {}).get("maxItems") if signature.fields is None else None
    info = {"object": "ONNX model"}
    return LoadedModel(
        CallPredictor(call, view), signature.input_type, items, info, signature=signature
    )


def _session(path: Path) -> Any:
    """Return a session of onnxruntime; it takes as many threads as the process may.

    Raises:
        LoadError: it does not read the file.
    """
    import onnxruntime  # noqa: PLC0415  (where the model runs, it is there)

    _check_beside(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    threads = os.environ.get(THREAD_VARIABLES[0], "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    there = onnxruntime.get_available_providers()
    providers = [each for each in (_CUDA, _CPU) if each in there]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors have no class in common
        raise LoadError(
            f"onnxruntime {onnxruntime.__version__} does not load {path.name}"
            f"{_versions(path)}: {_first_line(error)}",
            hint="pip install --upgrade onnxruntime, where it is of a newer opset or IR version",
        ) from error


def _check_beside(path: Path) -> None:
    """Raise LoadError where a model has tensors in a file that does not lie with it."""
    try:
        external = onnx_file.read(path).external
    except (OSError, ValueError):
        return  # what is wrong with it the library says
    for place in external:
        inner = os.path.normpath(place)
        if os.path.isabs(inner) or inner.startswith(os.pardir):  # noqa: PTH117
            raise LoadError(f"{path.name} names {place}, which leads out of its folder")


def _versions(path: Path) -> str:
    try:
        return f" ({onnx_file.read(path).shown})"
    except (OSError, ValueError):
        return ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]


def _inputs(plan: Plan, manifest: Manifest) -> tuple[Signature, View]:
    """Return how inputs look, and what makes a batch of them into a list for each port."""
    given = None if manifest.input_type == AUTO else manifest.input_type
    own = _own_type(plan)
    port = plan.inputs[0]
    if own in _NUMBERS and given in (None, *_NUMBERS):
        kind = given or own
        item = "integer" if kind == "integers" else "number"
        value: Schema = {"type": "array", "items": {"type": item}}
        size = port.inner[0]
        if size is not None:
            value.update(minItems=size, maxItems=size)
        numbers = viewer(kind, as_lists=False)
        return Signature(input_type=kind, value=value), lambda batch: [numbers(batch)]
    if own == "strings" and given in (None, own):
        return Signature(input_type=own, value={"type": "string"}), _texts
    if given not in (None, "rows"):
        raise LoadError(
            f"{manifest.file} takes {own} ({plan.shown}), not {given}",
            hint="leave --input-type out",
        )
    fields = {each.name: each.schema(is_alone=len(plan.inputs) == 1) for each in plan.inputs}
    only = next(iter(fields.values())) if len(fields) == 1 else None
    signature = Signature(input_type="rows", fields=fields, required=tuple(fields), value=only)
    return signature, _columns


def _exemplified(signature: Signature, plan: Plan, path: Path) -> Signature:
    """Return a signature with values that encoders know, for inputs that are one value."""
    if not any(_is_coded(port, len(plan.inputs)) for port in plan.inputs):
        return signature
    known = known_by_encoders(path)
    if signature.fields is None:
        values = known.get(plan.inputs[0].name)
        examples = {"examples": values} if values else {}
        return replace(signature, value={**(signature.value or {}), **examples})
    fields = {
        name: {**schema, "examples": known[name]}
        if name in known and schema.get("type") in ("string", "integer")
        else schema
        for name, schema in signature.fields.items()
    }
    return replace(signature, fields=fields)


def _is_coded(port: Port, count: int) -> bool:
    """Tell whether a row of one of so many inputs is a text, or a number that may be a code."""
    is_one = port.inner == () or (port.inner == (1,) and (count > 1 or port.dtype == "str"))
    return is_one and (port.dtype == "str" or "int" in port.dtype)


def _own_type(plan: Plan) -> str:
    """Return the type of input that a model takes: one row of its inputs."""
    port = plan.inputs[0]
    if len(plan.inputs) > 1 or not port.is_batched:
        return "rows"
    if port.dtype == "str" and port.inner in ((), (1,)):
        return "strings"
    return _OWN_TYPES.get(port.dtype, "rows") if len(port.inner) == 1 else "rows"


def _texts(batch: Batch) -> list[Any]:
    return [viewer("strings", as_lists=True)(batch)]


def _columns(batch: Batch) -> list[Any]:
    return [*map(list, zip(*rows.parsed(batch.lengths, batch.data, batch.count), strict=True))]


class _Calls:
    """Calls a session with the values of a batch, as many at a time as it takes."""

    def __init__(self, session: Any, plan: Plan) -> None:
        self._run = session.run
        self._plan = plan

    def __call__(self, columns: Sequence[Any]) -> list[Any]:
        """Return the rows of each output, in their order."""
        count = len(columns[0])
        groups = self._groups(columns, count)
        if len(groups) == 1:
            return self._outputs(columns, count)
        placed: list[list[Any]] = [[None] * count for _ in self._plan.outputs]
        for places in groups:
            part = [[column[at] for at in places] for column in columns]
            for rows_of, made in zip(placed, self._outputs(part, len(places)), strict=True):
                for at, row in zip(places, made, strict=True):
                    rows_of[at] = row
        return placed

    def _groups(self, columns: Sequence[Any], count: int) -> list[list[int]]:
        """Return the places of what can be called together: of one shape, and not too many."""
        step = self._plan.size or count
        if all(port.is_fixed or hasattr(column, "shape") for port, column in self._pairs(columns)):
            alike = [list(range(count))]
        else:
            shapes: dict[Any, list[int]] = {}
            for at in range(count):
                shape = tuple(ports.shape_of(column[at]) for column in columns)
                shapes.setdefault(shape, []).append(at)
            alike = list(shapes.values())
        return [each[at : at + step] for each in alike for at in range(0, len(each), step)]

    def _pairs(self, columns: Sequence[Any]) -> zip[tuple[Port, Any]]:
        return zip(self._plan.inputs, columns, strict=True)

    def _outputs(self, columns: Sequence[Any], count: int) -> list[Any]:
        """Return the rows of each output for a batch that is one call."""
        size = self._plan.size or count
        feed = {port.name: port.array(column, size) for port, column in self._pairs(columns)}
        made = self._run(None, feed)
        pairs = zip(self._plan.outputs, made, strict=True)
        return [port.rows(each, count) for port, each in pairs]


def _answering(calls: _Calls, plan: Plan, manifest: Manifest) -> tuple[Any, Schema]:
    """Return what is called with a batch, and the schema of what it answers to one input."""
    if manifest.output is not None:
        return _classified(calls, plan, manifest)
    if len(plan.outputs) == 1:
        return lambda columns: calls(columns)[0], plan.outputs[0].schema(is_alone=True)
    names = [each.name for each in plan.outputs]

    def call(columns: Sequence[Any]) -> list[Any]:
        listed = map(_listed, calls(columns))
        return [dict(zip(names, row, strict=True)) for row in zip(*listed, strict=True)]

    return call, {
        "type": "object",
        "properties": {each.name: each.schema(is_alone=True) for each in plan.outputs},
        "required": names,
        "additionalProperties": False,
    }


def _listed(made: Any) -> Any:
    return made.tolist() if hasattr(made, "tolist") else made


def _classified(calls: _Calls, plan: Plan, manifest: Manifest) -> tuple[Any, Schema]:
    """Return what answers labels, probabilities, or both, of a classifier's outputs.

    Raises:
        LoadError: it has no such outputs.
    """
    labels = [
        at for at, each in enumerate(plan.outputs) if each.dtype in _LABELS and not each.inner
    ]
    proba = [at for at in range(len(plan.outputs)) if at not in labels]
    if len(plan.outputs) != 2 or len(labels) != 1:
        raise LoadError(
            f"--output {manifest.output} is for classifiers, which have a label and probabilities: "
            f"{manifest.file} has {', '.join(each.name for each in plan.outputs)}",
            hint="leave --output out",
        )
    wanted = {"labels": labels, "proba": proba}.get(manifest.output or "")
    if wanted is not None:
        at = wanted[0]
        return lambda columns: calls(columns)[at], plan.outputs[at].schema(is_alone=True)

    def both(columns: Sequence[Any]) -> list[Any]:
        made = calls(columns)
        pairs = zip(_listed(made[labels[0]]), _listed(made[proba[0]]), strict=True)
        return [{"label": label, "probabilities": told} for label, told in pairs]

    return both, {"type": "object", "required": ["label", "probabilities"]}

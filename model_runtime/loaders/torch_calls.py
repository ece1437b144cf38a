"""Calls of PyTorch's models: arrays to tensors on the replica's device, and tensors to arrays.

Used by torchscript.py, torch_export.py and torch_state.py. A module does not say what it takes;
its parameters tell the dtype, and what it might take is tried (`sampled`).
"""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch

from model_runtime.failure import MODEL_ERRORS
from model_runtime.loaders.arrays import ArrayPredictor, Port, row_items, taken, view_of
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.manifest import Manifest

DEVICE_VARIABLE: Final = "SERVD_DEVICE"
_TRIES_S: Final = 5.0
_MAX_SAMPLE_SIGNS: Final = 16_384
_MAX_PARAMETERS: Final = 8
_SIZES: Final = (8, 16, 32, 64)
_LENGTH: Final = 4
_OWN_NUMPY: Final = {torch.bfloat16: torch.float32}
"""Dtypes that numpy has not, and the nearest that holds each of their numbers."""


def device() -> torch.device:
    """Return where models compute: the processor, unless the deployer says otherwise.

    Raises:
        LoadError: there is no such device here.
    """
    wanted = os.environ.get(DEVICE_VARIABLE) or "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise LoadError(
            f"the model is to compute on {wanted}, and torch {torch.__version__} has none here",
            hint="--device cpu, or a torch that is built for the machine's GPU",
        )
    return torch.device(wanted)


def model_of(
    manifest: Manifest,
    call: Callable[..., Any],
    ports: Sequence[Port],
    info: dict[str, Any],
    **ways: Any,
) -> LoadedModel:
    """Return the model that is one call with a tensor for each port; see arrays.py for `ways`."""
    place = device()

    def computed(*arrays: Any) -> Any:
        with torch.inference_mode():
            return as_arrays(call(*[_tensor(each, place) for each in arrays]))

    signature, ports = taken(ports, manifest)
    predictor = ArrayPredictor(computed, view_of(signature, ports), **ways)
    items = row_items(signature)
    return LoadedModel(predictor, signature.input_type, items, info, signature=signature)


def cast(call: Callable[..., Any], dtypes: Sequence[torch.dtype]) -> Callable[..., Any]:
    """Return a call whose tensors are made those of these dtypes, where numpy has not got them."""
    if not any(each in _OWN_NUMPY for each in dtypes):
        return call

    def called(*tensors: torch.Tensor) -> Any:
        return call(*[each.to(dtypes[at]) for at, each in enumerate(tensors)])

    return called


def _tensor(array: Any, place: torch.device) -> Any:
    return torch.from_numpy(np.ascontiguousarray(array)).to(place)


def as_arrays(value: Any) -> Any:
    """Return what a model returned with numpy's arrays in place of its tensors."""
    if isinstance(value, torch.Tensor):
        told = value.detach().cpu()
        return told.to(_OWN_NUMPY.get(told.dtype, told.dtype)).numpy()
    if isinstance(value, Mapping):
        return {name: as_arrays(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_arrays(each) for each in value]
    return value


def numpy_name(dtype: torch.dtype) -> str:
    """Return numpy's name of a dtype, or of one that holds its numbers."""
    return str(_OWN_NUMPY.get(dtype, dtype)).rpartition(".")[2]


# --- what a module takes ---


def ports_of_forward(forward: Any, shown: str) -> list[Port]:
    """Return a port for each parameter of a `forward` that has no default.

    Raises:
        LoadError: it takes none, or any number.
    """
    needed = []
    for name, each in inspect.signature(forward).parameters.items():
        if each.kind is each.VAR_POSITIONAL or each.kind is each.VAR_KEYWORD:
            continue
        if each.default is each.empty:
            needed.append(Port(name, shape=None))
    if not needed:
        raise LoadError(
            f"{shown}: its forward names no input",
            hint="deploy a function that calls it: file.py:function",
        )
    return needed


def settled(
    ports: Sequence[Port],
    parameters: Sequence[tuple[str, Any]],
    manifest: Manifest,
    call: Callable[..., Any],
) -> list[Port]:
    """Return ports with the dtypes that a module takes, and a sample where one is found by trying.

    `parameters` are the module's, in the order in which it has them: the first one that is of
    floats tells which, and their shapes what might be taken.
    """
    usual = numpy_name(floats_of(parameters))
    ports = [replace(each, dtype=usual) for each in ports]
    if manifest.schema is not None and _is_of_integers(manifest.schema):
        return [replace(each, dtype="int64") for each in ports]
    if manifest.input_type == "integers":
        return [replace(each, dtype="int64") for each in ports]
    place = device()
    until_s = time.monotonic() + _TRIES_S
    for dtype, values in _tries(ports, parameters, manifest, usual):
        made = [
            torch.tensor([value], dtype=getattr(torch, dtype), device=place) for value in values
        ]
        if _answers(call, made):
            is_given = manifest.example is not None
            return [
                replace(port, dtype=dtype, sample=None if is_given else _short(values[at]))
                for at, port in enumerate(ports)
            ]
        if time.monotonic() > until_s:
            break
    return ports


def floats_of(parameters: Sequence[tuple[str, Any]]) -> torch.dtype:
    """Return the dtype of floats that a module computes with."""
    return next((each.dtype for _, each in parameters if each.is_floating_point()), torch.float32)


def called_by(module: Any, parameters: Sequence[tuple[str, Any]]) -> Callable[..., Any]:
    """Return a module's call, of floats as its parameters are."""
    floats = floats_of(parameters)
    if floats not in _OWN_NUMPY:
        return module  # type: ignore[no-any-return]
    return lambda *tensors: module(
        *[each.to(floats) if each.is_floating_point() else each for each in tensors]
    )


def _is_of_integers(schema: Any) -> bool:
    while isinstance(schema, dict) and schema.get("type") == "array":
        schema = schema.get("items")
    return isinstance(schema, dict) and schema.get("type") == "integer"


def _answers(call: Callable[..., Any], made: Sequence[Any]) -> bool:
    try:
        with torch.inference_mode():
            call(*made)
    except MODEL_ERRORS:  # whatever it raises, it does not take these
        return False
    return True


def _short(value: Any) -> Any:
    return value if len(json.dumps(value)) <= _MAX_SAMPLE_SIGNS else None


def _tries(
    ports: Sequence[Port], parameters: Sequence[tuple[str, Any]], manifest: Manifest, usual: str
) -> Iterator[tuple[str, list[Any]]]:
    """Yield dtypes and a value for each port that may be what the module takes."""
    if manifest.example is not None:
        values = _of_example(manifest.example, ports)
        if values is not None:
            yield usual, values
            if not any(map(_has_float, values)):
                yield "int64", values
        return
    seen: list[tuple[str, tuple[int, ...]]] = []
    for _, parameter in parameters[:_MAX_PARAMETERS]:
        for dtype, shape in _shapes(tuple(parameter.shape), usual):
            if (dtype, shape) not in seen:
                seen.append((dtype, shape))
                ones = _ones(shape, 1 if dtype == "int64" else 1.0)
                yield dtype, [ones] * len(ports)


def _of_example(example: Any, ports: Sequence[Port]) -> list[Any] | None:
    """Return the values that an example has for the ports; None where it is no such example."""
    if isinstance(example, Mapping):
        return [example.get(each.name) for each in ports] if ports else None
    if len(ports) == 1:
        return [example]
    return list(example) if isinstance(example, list) and len(example) == len(ports) else None


def _has_float(value: Any) -> bool:
    return any(map(_has_float, value)) if isinstance(value, list) else not isinstance(value, int)


def _shapes(weight: tuple[int, ...], usual: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield dtypes and shapes of an input that what has a weight of this shape may take."""
    if len(weight) == 2:  # linear and recurrent layers; embeddings, whose inputs are whole
        yield usual, (weight[1],)
        yield "int64", (_LENGTH,)
        yield usual, (_LENGTH, weight[1])
    elif len(weight) == 3:  # of signals
        for size in _SIZES:
            yield usual, (weight[1], size)
    elif len(weight) == 4:  # of images
        for size in _SIZES:
            yield usual, (weight[1], size, size)
    elif len(weight) == 1:
        yield usual, (weight[0],)


def _ones(shape: tuple[int, ...], one: float) -> Any:
    made: Any = one
    for length in reversed(shape):
        made = [made] * length
    return made

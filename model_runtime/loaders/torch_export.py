"""Loads what torch.export.save wrote: a graph whose inputs have dtypes and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as trees

from model_runtime.failure import message_of
from model_runtime.loaders.arrays import Port
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.torch_calls import cast, device, model_of, numpy_name
from model_runtime.manifest import Manifest


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that an exported program is; see `loaders.load`.

    The first dimension of what it takes is that of the batch, unless it is a number that differs
    from others'. Then an input is all that it takes.
    """
    path = files / manifest.file
    try:
        program = torch.export.load(str(path))
    except Exception as error:  # torch says of each fault what it likes
        raise LoadError(
            f"{path.name} cannot be read by torch {torch.__version__}: {message_of(error)}",
            hint="export it again with the torch that is to run it: torch.export.save(…)",
        ) from error
    leaves = _leaves(program, path.name)
    ports = [each for each in leaves if isinstance(each, Port)]
    firsts = {each.shape[0] if each.shape else 0 for each in ports} | _firsts_of_outputs(program)
    size = firsts.pop() if len(firsts) == 1 else 0
    if size != 0:
        ports = [Port(each.name, each.dtype, (each.shape or ())[1:]) for each in ports]
    call = cast(_call(program, leaves), _dtypes(program))
    info = {"object": "torch.export"}
    if size == 0:
        return model_of(manifest, call, ports, info, is_whole=True)
    return model_of(manifest, call, ports, info, size=size)


def _leaves(program: Any, shown: str) -> list[Any]:
    """Return a port for each tensor that a program takes, in order; a constant as it is.

    Raises:
        LoadError: it takes no tensor, or what is neither.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    found: list[Any] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind.name != "USER_INPUT":
            continue
        value = values.get(spec.arg.name)
        if isinstance(value, torch.Tensor):
            found.append(Port(spec.arg.name, numpy_name(value.dtype), _shape(value)))
        elif hasattr(spec.arg, "value"):
            found.append(spec.arg.value)
        else:
            raise LoadError(f"{shown} takes {spec.arg.name}, which is neither tensor nor constant")
    if not any(isinstance(each, Port) for each in found):
        raise LoadError(f"{shown} takes no tensor")
    return found


def _firsts_of_outputs(program: Any) -> set[int | None]:
    """Return the first dimensions of what a program returns: a number, or None where it is any."""
    names = set(program.graph_signature.user_outputs)
    values = [node.meta.get("val") for node in program.graph.nodes if node.name in names]
    shapes = [_shape(each) for each in values if isinstance(each, torch.Tensor)]
    return {shape[0] if shape else 0 for shape in shapes}


def _dtypes(program: Any) -> list[torch.dtype]:
    """Return the dtypes of the tensors that a program takes."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    specs = [each for each in program.graph_signature.input_specs if each.kind.name == "USER_INPUT"]
    found = [values.get(each.arg.name) for each in specs]
    return [each.dtype for each in found if isinstance(each, torch.Tensor)]


def _shape(value: Any) -> tuple[int | None, ...]:
    return tuple(length if type(length) is int else None for length in value.shape)


def _call(program: Any, leaves: list[Any]) -> Any:
    """Return the program as a function of its tensors, wherever in its arguments they are."""
    module = program.module().to(device())
    spec = program.call_spec.in_spec

    def call(*tensors: Any) -> Any:
        given = iter(tensors)
        flat = [next(given) if isinstance(each, Port) else each for each in leaves]
        positional, named = trees.tree_unflatten(flat, spec)
        return module(*positional, **named)

    return call

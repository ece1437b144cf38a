"""Loads TorchScript: a module with its code, as torch.jit.save wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from model_runtime.loaders.arrays import Port
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.torch_calls import called_by, device, model_of, settled
from model_runtime.manifest import Manifest


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that a TorchScript file holds; see `loaders.load`."""
    path = files / manifest.file
    try:
        module = torch.jit.load(str(path), map_location=device())
    except RuntimeError as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else "it cannot be read"
        raise LoadError(
            f"{path.name} cannot be read as TorchScript by torch {torch.__version__}: {line}",
            hint="save it again: torch.jit.save(torch.jit.script(model), …)",
        ) from error
    module.eval()
    ports = _ports(module, path.name)
    parameters = list(module.named_parameters())
    call = called_by(module, parameters)
    ports = settled(ports, parameters, manifest, call)
    return model_of(manifest, call, ports, {"object": module.original_name})


def _ports(module: Any, shown: str) -> list[Port]:
    """Return a port for each tensor that a module's forward takes.

    Raises:
        LoadError: it has none, or takes something else.
    """
    forward = getattr(module, "forward", None)
    if forward is None:
        raise LoadError(f"{shown} has no forward", hint="script or trace a module that has one")
    ports = []
    for each in forward.schema.arguments[1:]:
        if each.has_default_value():
            continue
        if str(each.type) not in ("Tensor", "Optional[Tensor]"):
            raise LoadError(
                f"{shown}: its forward takes {each.name}: {each.type}, which is no tensor",
                hint="deploy a Python file with a function that calls it",
            )
        ports.append(Port(each.name.removeprefix("_"), shape=None))
    if not ports:
        raise LoadError(f"{shown}: its forward takes no tensor")
    return ports

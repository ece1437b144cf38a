"""Loads weights (a state dict, in PyTorch's file or as safetensors) into a class of the bundle."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from model_runtime.loaders import python
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.torch_calls import called_by, device, model_of, ports_of_forward, settled
from model_runtime.manifest import Manifest

WEIGHTS: Final = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
"""Under which of these names a checkpoint has a model's weights, beside what training needs."""
_WRAPPED: Final = "module."
"""What DataParallel and its like put before each name."""
_MAX_KEYS: Final = 4


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the module that a class of the bundle makes, with the weights of its file."""
    file, _, name = (manifest.architecture or "").rpartition(":")
    made = python.find(python.import_file(files / file), name, file)
    module = _module(made, manifest, name)
    weights = read(files / manifest.file)
    _fill(module, weights, manifest.file, f"{file}:{name}")
    module.eval().to(device())
    ports = ports_of_forward(module.forward, f"{file}:{name}")
    parameters = list(module.named_parameters())
    call = called_by(module, parameters)
    ports = settled(ports, parameters, manifest, call)
    return model_of(manifest, call, ports, {"object": name})


def _module(made: Any, manifest: Manifest, name: str) -> Any:
    """Return the module of a class, or of a function that makes one."""
    if isinstance(made, torch.nn.Module):
        return made
    hint = "--class names the class that the weights were trained in"
    if not callable(made):
        kind = type(made).__name__
        raise LoadError(f"'{name}' is a {kind}, and no class of torch.nn.Module", hint=hint)
    is_class = isinstance(made, type)
    parameters = manifest.parameters
    module = python.instance_of(made, parameters, name) if is_class else made(**parameters)
    if not isinstance(module, torch.nn.Module):
        kind = type(module).__name__
        raise LoadError(f"'{name}' gives a {kind}, and no torch.nn.Module", hint=hint)
    return module


def read(path: Path) -> dict[str, Any]:
    """Return the weights in a file, by their names. Nothing in it is run.

    Raises:
        LoadError: there are none, or it holds what is more than weights.
    """
    if _is_safetensors(path):
        from safetensors.torch import load_file  # noqa: PLC0415  (few files need it)

        found: dict[str, Any] = load_file(str(path))
        return found
    try:
        held = torch.load(str(path), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise LoadError(
            f"{path.name} holds more than weights, and what else is in it is not run: "
            f"{_refused(error)}",
            hint="save the weights alone: torch.save(model.state_dict(), …)",
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise LoadError(f"{path.name} is damaged: {_first_line(error)}") from error
    return _weights(held, path.name)


def _is_safetensors(path: Path) -> bool:
    """Tell a file of safetensors by its head: the length of a JSON object, and that."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _refused(error: BaseException) -> str:
    """Return what torch says that it refused; around that it says much."""
    found = re.search(r"[Uu]nsupported (?:global|GLOBAL)[^\n]*", str(error))
    return found[0][:200] if found else _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _weights(held: Any, shown: str) -> dict[str, Any]:
    """Return the weights of what a file holds: themselves, or those of a checkpoint."""
    found = held
    for name in WEIGHTS:
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            found = held[name]
            break
    is_named = isinstance(found, Mapping) and all(isinstance(name, str) for name in found)
    if not is_named or not any(isinstance(each, torch.Tensor) for each in found.values()):
        kind = type(held).__name__
        keys = f" with {', '.join(map(str, [*held][:8]))}" if isinstance(held, Mapping) else ""
        raise LoadError(
            f"{shown} holds a {kind}{keys}, and no weights by their names",
            hint="save them alone: torch.save(model.state_dict(), …)",
        )
    return dict(found)


def _fill(module: Any, weights: dict[str, Any], shown: str, architecture: str) -> None:
    """Put weights into a module.

    Raises:
        LoadError: they are another module's; the first names that are too many or too few are told.
    """
    own = module.state_dict()
    if not own.keys() & weights.keys() and all(each.startswith(_WRAPPED) for each in weights):
        weights = {name[len(_WRAPPED) :]: each for name, each in weights.items()}
    missing = [name for name in own if name not in weights]
    unexpected = [name for name in weights if name not in own]
    unlike = [
        f"{name} is {_told(weights[name])} in the file and {_told(each)} in the class"
        for name, each in own.items()
        if name in weights and _told(weights[name]) != _told(each)
    ]
    said = [
        *([f"the file lacks {_listed(missing)}"] if missing else []),
        *([f"the class has no {_listed(unexpected)}"] if unexpected else []),
        *([_listed(unlike, "; ")] if unlike else []),
    ]
    if said:
        raise LoadError(
            f"the weights of {shown} are not those of {architecture}: {'; '.join(said)}",
            hint="name the class that they were trained in (--class), made as it was then "
            "(--param NAME=VALUE)",
        )
    module.load_state_dict(weights)


def _told(weight: Any) -> str:
    return "x".join(map(str, weight.shape)) or "one number" if hasattr(weight, "shape") else "none"


def _listed(names: list[str], gap: str = ", ") -> str:
    more = f"{gap}… ({len(names)} in all)" if len(names) > _MAX_KEYS else ""
    return gap.join(names[:_MAX_KEYS]) + more

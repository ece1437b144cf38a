"""Hugging Face's models: a folder with a config.json, weights and, of texts, a tokenizer."""

from pathlib import Path
from typing import Any, Final

from model_runtime.pipeline_tasks import CODE, IMAGE, kind_of, task_of
from servd.errors import TargetError
from servd.finding.data import files_below
from servd.packing.formats import torch_state
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.json_parts import parsed
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_CONFIG: Final = "config.json"
_MOST_BYTES: Final = 8 << 20
_WEIGHTS: Final = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "*.bin")
_SENTENCES: Final = "modules.json"


def _detect(peek: Peek) -> bool:
    path = peek.path / _CONFIG
    if path not in peek.entries or not path.is_file():
        return False
    try:
        config = _config(peek)
    except TargetError:
        return False
    return "model_type" in config or isinstance(config.get("architectures"), list)


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    config = _config(peek)
    weights = [path for pattern in _WEIGHTS for path in sorted(peek.path.glob(pattern))]
    if not weights:
        raise TargetError(
            f"{peek.name} has a {_CONFIG} and no weights beside it",
            hint="model.save_pretrained(…) writes both",
        )
    for path in weights:
        if path.suffix == ".safetensors":
            torch_state.check_safetensors(Peek(path))
    for path in sorted(peek.path.glob("*.index.json")):
        _check_index(peek, path.name)
    if "auto_map" in config and CODE not in asked.trust:
        raise TargetError(
            f"{peek.name} has code of its own, which would be run: {_CONFIG} has an auto_map",
            hint=f"--trust {CODE} runs it: look at it before",
        )
    task, architecture = _task(peek, config, asked)
    version = str(config.get("transformers_version") or "")
    needs = [
        Need(module="transformers", distribution="transformers", made_with=version),
        Need(module="torch", distribution="torch"),
    ]
    if kind_of(task) == IMAGE:
        needs.append(Need(module="PIL", distribution="pillow"))
    return Inspected(
        summary=f"transformers, {architecture or config.get('model_type')} for {task}",
        needs=tuple(needs),
        file=peek.path / _CONFIG,
        files=tuple(_files(peek.path)),
        remarks=_remarks(peek),
        trust=asked.trust,
        task=task,
    )


def _config(peek: Peek) -> dict[str, Any]:
    return _object(peek, _CONFIG)


def _check_index(peek: Peek, name: str) -> None:
    """Raise TargetError where weights in parts are named elsewhere than in the folder."""
    told = _object(peek, name).get("weight_map")
    for part in told.values() if isinstance(told, dict) else ():
        if not isinstance(part, str) or Path(part).is_absolute() or ".." in Path(part).parts:
            raise TargetError(
                f"{peek.name} cannot be served: its {name} names {part!r:.80}, which leads out of "
                "its folder"
            )


def _object(peek: Peek, name: str) -> dict[str, Any]:
    path = peek.path / name
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TargetError(f"{peek.name}/{name} has more than {_MOST_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise TargetError(f"{peek.name}/{name} cannot be read: {error.strerror}") from error
    return parsed(peek, name, content)


def _task(peek: Peek, config: dict[str, Any], asked: Asked) -> tuple[str, str]:
    """Return what a model is used for, and the name of its class.

    Raises:
        TargetError: nothing tells.
    """
    listed = config.get("architectures")
    names = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    architecture = names[0] if names else ""
    model_type = config.get("model_type")
    task = asked.task or task_of(architecture, model_type if isinstance(model_type, str) else "")
    if task is None:
        told = f"its class is {architecture}" if architecture else f"{_CONFIG} names no class"
        raise TargetError(
            f"nothing tells what {peek.name} is used for: {told}",
            hint="--task says it, as in --task text-classification",
        )
    return task, architecture


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder without what tools for downloading and versions keep there."""
    return [
        path
        for path in files_below(folder)
        if not {".git", ".cache", "__pycache__"} & set(path.relative_to(folder).parts)
    ]


def _remarks(peek: Peek) -> tuple[str, ...]:
    if not (peek.path / _SENTENCES).is_file():
        return ()
    told = (
        f"{_SENTENCES} is of sentence-transformers, whose pooling a pipeline leaves out: "
        "a function that calls SentenceTransformer(…).encode gives vectors of sentences"
    )
    return (told,)


FORMAT: Final = Format(
    name="transformers",
    what="a Hugging Face model",
    detect=_detect,
    inspect=_inspect,
    is_folder=True,
)

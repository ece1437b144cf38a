"""Loads Hugging Face's models from a folder, as a pipeline for a task. The network is not asked."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from model_runtime.annotations.foreign import image_of
from model_runtime.failure import message_of
from model_runtime.inputs import Batch, View, viewer
from model_runtime.loaders.base import CallPredictor, LoadedModel, LoadError
from model_runtime.manifest import AUTO, Manifest
from model_runtime.pipeline_tasks import CODE, IMAGE, OTHER, SOUND, TEXT, kind_of
from model_runtime.refusals import InputError, UnfitRowsError
from model_runtime.signature import Schema, Signature

_OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
_DEVICE: Final = "SERVD_DEVICE"
_TYPES: Final = {TEXT: "strings", IMAGE: "bytes", SOUND: "bytes", OTHER: "any"}
_VALUES: Final[dict[str, Schema]] = {
    TEXT: {"type": "string"},
    IMAGE: {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"},
    SOUND: {"type": "string", "contentEncoding": "base64", "contentMediaType": "audio/*"},
}
_MASKED: Final = "fill-mask"


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the pipeline of a folder; see `loaders.load`."""
    folder = (files / manifest.file).parent
    task = manifest.task or ""
    pipeline = _pipeline(folder, task, manifest)
    kind = kind_of(task)
    own = _TYPES[kind]
    input_type = own if manifest.input_type == AUTO else manifest.input_type
    if input_type not in (own, "any"):
        raise LoadError(
            f"a pipeline for {task} takes {own}, and --input-type is {input_type}",
            hint="leave --input-type out",
        )
    value = manifest.schema or (_value(kind, task, pipeline) if input_type == own else None)
    signature = Signature(input_type=input_type, value=value)
    predictor = CallPredictor(_call(pipeline, manifest.parameters), _view(input_type, kind))
    info = {"object": f"{type(pipeline.model).__name__} for {task}"}
    return LoadedModel(predictor, input_type, None, info, signature=signature)


def _pipeline(folder: Path, task: str, manifest: Manifest) -> Any:
    os.environ.update(dict.fromkeys(_OFFLINE, "1"))
    os.environ.setdefault("TQDM_DISABLE", "1")
    import transformers  # noqa: PLC0415  (it is told before that there is no network)

    transformers.logging.set_verbosity_error()
    try:
        return transformers.pipeline(
            task,
            model=str(folder),
            device=os.environ.get(_DEVICE) or "cpu",
            trust_remote_code=CODE in manifest.trust,
        )
    except KeyError as error:  # it knows no such task, and lists those that it does
        raise LoadError(
            f"transformers {transformers.__version__} has no pipeline for {task!r}: "
            f"{error.args[0] if error.args else error!s:.300}",
            hint="--task NAME says what the model is used for",
        ) from error
    except Exception as error:
        raise LoadError(
            f"transformers {transformers.__version__} does not load {folder.name} for {task}: "
            f"{message_of(error)}",
            hint="save model and tokenizer into the folder: model.save_pretrained(…), "
            "tokenizer.save_pretrained(…)",
        ) from error


def _value(kind: str, task: str, pipeline: Any) -> Schema | None:
    value = _VALUES.get(kind)
    mask = getattr(pipeline.tokenizer, "mask_token", None) if task == _MASKED else None
    return {**(value or {}), "examples": [f"some {mask}"]} if mask else value


def _view(input_type: str, kind: str) -> View:
    view = viewer(input_type, as_lists=True)
    if kind != IMAGE or input_type != "bytes":
        return view
    import PIL.Image  # noqa: F401, PLC0415  (`image_of` uses it)

    def images(batch: Batch) -> list[Any]:
        made: list[Any] = []
        errors: dict[int, InputError] = {}
        for at, content in enumerate(view(batch)):
            try:
                made.append(image_of(content).convert("RGB"))
            except InputError as error:
                errors[at] = error
        if errors:
            raise UnfitRowsError(errors)
        return made

    return images


def _call(pipeline: Any, parameters: dict[str, Any]) -> Callable[[Sequence[Any]], list[Any]]:
    """Return the pipeline as a function of a list; what is an object is its arguments by name."""

    def call(values: Sequence[Any]) -> list[Any]:
        if any(isinstance(value, dict) for value in values):
            return [
                _plain(pipeline(**value, **parameters))
                if isinstance(value, dict)
                else _plain(pipeline([value], **parameters)[0])
                for value in values
            ]
        if pipeline.task == _MASKED:  # of a list of one it returns what it does of that one
            return [_plain(pipeline(value, **parameters)) for value in values]
        return [_plain(each) for each in pipeline(list(values), **parameters)]

    return call


def _plain(value: Any) -> Any:
    """Return an output with its images as files in base64."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if type(value).__module__.startswith("PIL."):
        content = io.BytesIO()
        value.save(content, "PNG")
        return base64.b64encode(content.getvalue()).decode()
    return value

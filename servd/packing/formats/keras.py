"""Keras' files (.keras, since version 3 of the format): a zip with the layers as JSON and weights.

A layer may have code of its own in it (Lambda of a Python lambda), which Keras runs only where it
is told to trust the file.
"""

from typing import Any, Final

from model_runtime.loaders.keras_trust import LAMBDA, LAMBDA_CLASS
from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.json_parts import nodes, parsed
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_MOST_BYTES: Final = 64 << 20
_BACKENDS: Final = ("tensorflow", "jax")
"""What is as good as torch."""


def _detect(peek: Peek) -> bool:
    return _CONFIG in peek.names and _METADATA in peek.names


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    metadata = parsed(peek, _METADATA, peek.member(_METADATA, _MOST_BYTES))
    config = parsed(peek, _CONFIG, peek.member(_CONFIG, _MOST_BYTES))
    if _WEIGHTS not in peek.names and not any(
        name.startswith("model.weights") for name in peek.names
    ):
        raise TargetError(f"{peek.name} is damaged: it has no {_WEIGHTS}")
    version = str(metadata.get("keras_version") or "")
    if LAMBDA not in asked.trust and any(_is_lambda(node) for node in nodes(config)):
        raise TargetError(
            f"{peek.name} has a Lambda layer, whose code lies in the file and would be run",
            hint=f"--trust {LAMBDA} runs it: only where you know whose file it is; or make the "
            "layer a class of your own",
        )
    major = version.partition(".")[0]
    return Inspected(
        summary=f"Keras {version}, {config.get('class_name')}",
        needs=(
            Need(
                module="keras",
                distribution="keras",
                at_least=major if major.isdigit() else "",
                why=f"was saved by Keras {version}",
                made_with=version,
            ),
            Need(module="torch", distribution="torch", others=_BACKENDS),
        ),
        trust=asked.trust,
    )


def _is_lambda(node: dict[str, Any]) -> bool:
    return node.get("class_name") == LAMBDA_CLASS


FORMAT: Final = Format(name="keras", what="a Keras file", detect=_detect, inspect=_inspect)

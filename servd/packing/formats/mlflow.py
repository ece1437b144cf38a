"""MLflow's models: a folder with an MLmodel, which says how it is loaded and what it takes."""

import re
from typing import Any, Final

import yaml

from model_runtime.contract import distribution
from model_runtime.mlflow_model import NAME, UnfitModelError, checked
from servd.errors import TargetError
from servd.finding.data import files_below
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked
from servd.packing.yaml_texts import values_of

_MOST_BYTES: Final = 4 << 20
_REQUIREMENTS: Final = "requirements.txt"
_LIBRARIES: Final = {
    "mlflow.sklearn": ("sklearn",),
    "mlflow.xgboost": ("xgboost",),
    "mlflow.lightgbm": ("lightgbm",),
    "mlflow.catboost": ("catboost",),
    "mlflow.pytorch": ("torch",),
    "mlflow.tensorflow": ("tensorflow",),
    "mlflow.keras": ("keras",),
    "mlflow.onnx": ("onnx", "onnxruntime"),
    "mlflow.transformers": ("transformers",),
    "mlflow.statsmodels": ("statsmodels",),
    "mlflow.spacy": ("spacy",),
    "mlflow.prophet": ("prophet",),
    "mlflow.pyfunc.model": ("cloudpickle",),
}
"""What MLflow's own loaders import; of others their code says it."""
_BASE: Final = ("mlflow", "pandas")
_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*(?:==\s*([^\s;,#*]+))?")


def _detect(peek: Peek) -> bool:
    return any(path.name == NAME and path.is_file() for path in peek.entries)


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    content = _content(peek)
    try:
        flavour = checked(content)
    except UnfitModelError as error:
        raise TargetError(f"{peek.name} cannot be served: {error}") from error
    module = flavour["loader_module"]
    pins = _pins(peek)
    needed = [*_BASE, *_LIBRARIES.get(module, ())]
    version = content.get("mlflow_version") or ""
    return Inspected(
        summary=f"MLflow {version}, {module}",
        needs=(
            *(_need(name, pins) for name in needed),
            *(
                Need(module="", distribution=name, made_with=pin, is_asked=True)
                for name, pin in pins.items()
                if name not in map(distribution, needed)
            ),
        ),
        file=peek.path / NAME,
        files=tuple(path for path in files_below(peek.path) if "__pycache__" not in path.parts),
    )


def _need(module: str, pins: dict[str, str]) -> Need:
    name = distribution(module)
    return Need(module=module, distribution=name, made_with=pins.get(name, ""))


def _content(peek: Peek) -> dict[str, Any]:
    """Return what the MLmodel of a folder says.

    Raises:
        TargetError: it cannot be read.
    """
    path = peek.path / NAME
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TargetError(
                f"{peek.name} is damaged: its {NAME} has more than {_MOST_BYTES} bytes"
            )
        content = values_of(path.read_bytes())
    except OSError as error:
        raise TargetError(f"{peek.name}/{NAME} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        line = str(error).replace("\n", " ")
        raise TargetError(f"{peek.name} is damaged: its {NAME} is no YAML: {line}") from error
    if not isinstance(content, dict):
        raise TargetError(f"{peek.name} is damaged: its {NAME} says nothing")
    return content


def _pins(peek: Peek) -> dict[str, str]:
    """Return the packages that a folder asks for, with the versions that it names, or none."""
    path = peek.path / _REQUIREMENTS
    try:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    except OSError:
        return {}
    found = (_LINE.match(line.strip()) for line in lines[:1000] if ";" not in line)
    return {each[1]: each[2] or "" for each in found if each}


FORMAT: Final = Format(
    name="mlflow", what="an MLflow model", detect=_detect, inspect=_inspect, is_folder=True
)

"""Loads a service of BentoML: one of its APIs is the model.

Of a saved bundle of BentoML 0.13 the code is imported under the names that it was written for,
whether or not BentoML is there (model_runtime/bento).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from model_runtime.bento import loading
from model_runtime.bento.exceptions import BentoMLException
from model_runtime.bento.loading import Place
from model_runtime.calling import EachPredictor
from model_runtime.failure import traceback_of
from model_runtime.inputs import viewer
from model_runtime.loaders import bento_tables, functions
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.pickle import BY_VALUE, holds, is_another_python, of_another_python
from model_runtime.manifest import Manifest
from model_runtime.signature import EACH, Signature

DESCRIPTION: Final = "bentoml.yml"
_FACT: Final = re.compile(r"^\s+(service_version|python_version): *['\"]?([^'\"\s]*)", re.MULTILINE)
TABLE: Final = "DataframeInput"


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that an API of a service is; see `loaders.load`."""
    if manifest.kind == "service":
        from model_runtime.loaders import bento_sdk  # noqa: PLC0415  (only where it is one)

        return bento_sdk.load(manifest, files)
    place = place_of(manifest, files)
    _check_artifacts(place)
    try:
        service = loading.load_class(place)()
        api = service.get_inference_api(manifest.method)
    except BentoMLException as error:
        known = traceback_of(error, files.parent) if error.__cause__ is not None else ""
        raise LoadError(str(error), traceback=known) from error
    return _model_of(api, manifest)


def place_of(manifest: Manifest, files: Path) -> Place:
    """Return where the service is; its versions are what the bundle says of itself."""
    name = manifest.object or ""
    facts = dict(_FACT.findall((files / DESCRIPTION).read_text("utf-8")))
    return Place(
        folder=files,
        name=name,
        module=manifest.file,
        version=facts.get("service_version", ""),
        python=facts.get("python_version", ""),
    )


def _check_artifacts(place: Place) -> None:
    """Refuse code that another Python has compiled, before it is read: it could end this process.

    Raises:
        LoadError: an artifact has such code.
    """
    if not is_another_python(place.python):
        return
    for path in sorted((place.folder / place.name).rglob("*.pkl")):
        if path.stat().st_size and holds(path, BY_VALUE):
            raise of_another_python(place.python, path.name)


def _model_of(api: Any, manifest: Manifest) -> LoadedModel:
    """Return the model that an API is, by what it takes."""
    kind = type(api.input_adapter).__name__
    info = {"object": f"{manifest.object}.{api.name}"}
    call = api.user_func
    if kind == TABLE:
        return bento_tables.model_of(call, api.input_adapter, manifest, info)
    is_list = api.batch or kind.startswith("Clipper")
    if not is_list:
        return _each(call, manifest, info)

    def predict(inputs: Any) -> Any:
        return call(inputs)

    return functions.model_of(predict, replace(manifest, object=api.name), info)


def _each(call: Callable[[Any], Any], manifest: Manifest, info: dict[str, Any]) -> LoadedModel:
    """Return the model that is called with one input after the other."""

    def arguments(value: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        return (value,), {}

    view = viewer(manifest.input_type, as_lists=manifest.as_lists)
    predictor = EachPredictor(call, view, arguments)
    signature = Signature(input_type=manifest.input_type, call=EACH, value=manifest.schema)
    return LoadedModel(predictor, manifest.input_type, info=info, signature=signature)

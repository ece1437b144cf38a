"""What to do where a model does not answer its test call. Called by selftest.py.

What is advised was tried: another input type is named where the model answered an input of it, and
a row of a table where the model answered that row.
"""

import importlib
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, Final

from model_runtime.failure import MODEL_ERRORS
from model_runtime.manifest import Manifest

_MAX_COLUMNS: Final = 200
_WRAPPER: Final = """cat > {file} <<'END'
from pathlib import Path

import {loader}
import pandas as pd

MODEL = {loader}.{load}
COLUMNS = {columns}


def {name}(rows):
    return MODEL.{method}(pd.DataFrame(rows, columns=COLUMNS)).tolist()
END
servd deploy {file} --include {pattern} --input-type any{example}"""


def column_names(model: Any) -> list[str]:
    """Return the names of the columns that a model was fitted on; none where it knows none."""
    try:
        names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    except MODEL_ERRORS:  # a property of the model's own, which may raise anything
        return []
    return names[:_MAX_COLUMNS] if len(names) <= _MAX_COLUMNS else []


def columns_hint(model: Any, manifest: Manifest, is_joblib: Callable[[], bool]) -> str:
    """Return how to serve a model that wants its columns by name; empty where it has none.

    The lines can be pasted into a shell in the folder of the model's file.
    """
    columns = column_names(model)
    if not columns:
        return ""
    file = PurePosixPath(manifest.file)
    stem = "".join(c if c.isalnum() and c.isascii() else "_" for c in file.stem)
    name = f"{stem}_rows" if stem[:1].isalpha() else f"model_{stem}_rows"
    loader = "joblib" if is_joblib() else "pickle"
    path = f"Path(__file__).with_name({file.name!r})"
    load = f"load({path})" if loader == "joblib" else f"loads({path}.read_bytes())"
    row = _answered_row(model, manifest.method, columns)
    example = "" if row is None else f" --example {shlex.quote(json.dumps(row))}"
    wrapper = _WRAPPER.format(
        file=f"{name}.py",
        loader=loader,
        load=load,
        columns=json.dumps(columns, ensure_ascii=False),
        name=name,
        method=manifest.method,
        pattern=shlex.quote(file.name),
        example=example,
    )
    listed = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
    return (
        f"the model was fitted on a table and wants its columns by name: {listed}. "
        "Inputs reach it without names, so put a function around it that gives them; "
        f"in the folder of {file.name}:\n{wrapper}"
    )


def _answered_row(model: Any, method: str, columns: list[str]) -> dict[str, Any] | None:
    """Return a row that the model answers as a table of one row, or None where none was found."""
    categories = dict(_categories(model, 0))
    row = {name: categories.get(name, 1.0) for name in columns}
    try:
        pandas = importlib.import_module("pandas")
        getattr(model, method)(pandas.DataFrame([row], columns=columns))
        json.dumps(row, allow_nan=False)
    except MODEL_ERRORS:
        return None
    return row


def _categories(part: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield a value that each column of categories may have, as the fitted encoders know it."""
    if depth > 5:
        return
    names = getattr(part, "feature_names_in_", None)
    known = getattr(part, "categories_", None)
    if names is not None and known is not None:
        for name, values in zip(names, known, strict=False):
            if len(values):
                value = values[0]
                yield str(name), value.item() if hasattr(value, "item") else value
    inner = [each[1] for each in getattr(part, "steps", ())]
    inner += [each[1] for each in getattr(part, "transformers_", ())]
    for each in inner:
        yield from _categories(each, depth + 1)

"""Types of numpy, pandas, polars and PIL, told by their names: nothing of these is imported here.

Where a value of a library is made, whoever annotates it so has imported the library.
"""

from __future__ import annotations

import base64
import binascii
import io
import sys
import typing
from collections.abc import Callable
from typing import Any, Final

from model_runtime.annotations.kind import Kind
from model_runtime.refusals import fault, unlike
from model_runtime.signature import Schema

_INPUT_TYPES: Final = {
    "float32": "floats",
    "float16": "floats",
    "int8": "integers",
    "int16": "integers",
    "int32": "integers",
    "int64": "integers",
}


_PARTS: Final[Schema] = {"type": ["array", "object"]}
_TABLES: Final[dict[tuple[str, str], Schema]] = {
    ("pandas", "DataFrame"): _PARTS,
    ("polars", "DataFrame"): _PARTS,
    ("pandas", "Series"): _PARTS,
    ("polars", "Series"): _PARTS,
    ("pandas", "Timestamp"): {"type": "string", "format": "date-time"},
}


def name_of(annotation: Any) -> tuple[str, str]:
    """Return the library and the name of a class, both empty for what is none."""
    plain = typing.get_origin(annotation) or annotation
    module = getattr(plain, "__module__", None)
    if not isinstance(plain, type) or not isinstance(module, str):
        return "", ""
    return module.partition(".")[0], plain.__name__


def is_array(annotation: Any) -> bool:
    """Tell whether an annotation is numpy's array, with or without an item type."""
    return name_of(annotation) == ("numpy", "ndarray")


def frame_of(annotation: Any) -> str | None:
    """Return the library whose DataFrame an annotation is."""
    library, name = name_of(annotation)
    return library if name == "DataFrame" and library in ("pandas", "polars") else None


def is_image(annotation: Any) -> bool:
    """Tell whether an annotation is PIL's image."""
    return name_of(annotation) == ("PIL", "Image")


def array_type(annotation: Any) -> str:
    """Return the input type of an array annotation: doubles unless its item type says else."""
    return _INPUT_TYPES.get(_item_name(annotation), "doubles")


def _item_name(annotation: Any) -> str:
    arguments = typing.get_args(annotation)
    items = typing.get_args(arguments[-1]) if arguments else ()
    return getattr(items[0], "__name__", "") if items else ""


def kind(annotation: Any) -> Kind | None:
    """Return what a library's type means as a part of an input; None for what is none of these."""
    if is_array(annotation):
        return Kind({"type": "array"}, _array_of(_item_name(annotation)))
    if is_image(annotation):
        media = {"contentEncoding": "base64", "contentMediaType": "image/*"}
        return Kind({"type": "string", **media}, _image_of_text)
    library, name = name_of(annotation)
    if library == "numpy":
        return _scalar(annotation)
    schema = _TABLES.get((library, name))
    return None if schema is None else Kind(schema, _table_of(library, name))


def _scalar(annotation: Any) -> Kind | None:
    """Return the kind of numpy's numbers, made of JSON's by themselves."""
    letter = sys.modules["numpy"].dtype(annotation).kind
    named = {"i": "integer", "u": "integer", "f": "number", "b": "boolean", "U": "string"}
    if letter not in named:
        return None

    def make(value: Any) -> Any:
        try:
            return annotation(value)
        except (ValueError, TypeError, OverflowError):
            raise unlike(f"a value of {annotation.__name__}", value, "value_error") from None

    return Kind({"type": named[letter]}, make)


def _array_of(item: str) -> Callable[[Any], Any]:
    def make(value: Any) -> Any:
        np: Any = sys.modules["numpy"]
        if type(value) is not list:
            raise unlike("an array", value, "list_type")
        try:
            made = np.array(value, item or None)
        except (ValueError, TypeError, OverflowError) as error:
            raise fault(f"no array can be made of it: {error}", "value_error") from None
        if made.dtype == object:
            raise fault("no array of numbers can be made of it", "value_error")
        return made

    return make


def _table_of(library: str, name: str) -> Callable[[Any], Any]:
    def make(value: Any) -> Any:
        cls = getattr(sys.modules[library], name)
        try:
            return cls(value)
        except Exception as error:  # noqa: BLE001  (the libraries name no common base)
            raise fault(f"no {name} can be made of it: {error!s:.200}", "value_error") from None

    return make


def _image_of_text(value: Any) -> Any:
    if type(value) is not str:
        raise unlike("an image as base64 text", value, "bytes_type")
    try:
        return image_of(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        raise unlike("an image as base64 text", value, "bytes_type") from None


def image_of(data: bytes) -> Any:
    """Return the image that a file's bytes are.

    Raises:
        InputError: they are none that PIL can read, or only the beginning of one.
    """
    pil: Any = sys.modules["PIL.Image"]
    if not data:
        raise fault("wanted an image, found no bytes", "image")
    try:
        image = pil.open(io.BytesIO(data))
        image.load()
    except Exception as error:  # noqa: BLE001  (each format's reader raises what it likes)
        told = " ".join(str(error).split())
        if "cannot identify" in told:
            told = f"they begin with {data[:8]!r}, like no image that PIL reads"
        raise fault(f"the {len(data)} bytes are no image: {told:.200}", "image") from None
    return image

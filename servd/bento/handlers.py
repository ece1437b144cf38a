"""The names that inputs had before BentoML 0.8."""

from model_runtime.bento.handlers import (
    BentoHandler,
    ClipperBytesHandler,
    ClipperDoublesHandler,
    ClipperFloatsHandler,
    ClipperIntsHandler,
    ClipperStringsHandler,
    DataframeHandler,
    JsonHandler,
)

__all__ = [
    "BentoHandler",
    "ClipperBytesHandler",
    "ClipperDoublesHandler",
    "ClipperFloatsHandler",
    "ClipperIntsHandler",
    "ClipperStringsHandler",
    "DataframeHandler",
    "JsonHandler",
]

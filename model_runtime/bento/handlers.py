"""The names that inputs had before BentoML 0.8."""

from __future__ import annotations

from model_runtime.bento.adapters import BaseInputAdapter as BentoHandler
from model_runtime.bento.adapters import ClipperBytesInput as ClipperBytesHandler
from model_runtime.bento.adapters import ClipperDoublesInput as ClipperDoublesHandler
from model_runtime.bento.adapters import ClipperFloatsInput as ClipperFloatsHandler
from model_runtime.bento.adapters import ClipperIntsInput as ClipperIntsHandler
from model_runtime.bento.adapters import ClipperStringsInput as ClipperStringsHandler
from model_runtime.bento.adapters import DataframeInput as DataframeHandler
from model_runtime.bento.adapters import JsonInput as JsonHandler

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

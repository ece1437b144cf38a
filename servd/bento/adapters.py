"""What APIs take and give."""

from model_runtime.bento.adapters import (
    BaseInputAdapter,
    BaseOutputAdapter,
    ClipperBytesInput,
    ClipperDoublesInput,
    ClipperFloatsInput,
    ClipperIntsInput,
    ClipperStringsInput,
    DataframeInput,
    DataframeOutput,
    DefaultOutput,
    JsonInput,
    JsonOutput,
    StringInput,
)

__all__ = [
    "BaseInputAdapter",
    "BaseOutputAdapter",
    "ClipperBytesInput",
    "ClipperDoublesInput",
    "ClipperFloatsInput",
    "ClipperIntsInput",
    "ClipperStringsInput",
    "DataframeInput",
    "DataframeOutput",
    "DefaultOutput",
    "JsonInput",
    "JsonOutput",
    "StringInput",
]

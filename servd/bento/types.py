"""Types that APIs are annotated with."""

from model_runtime.bento.types import JsonSerializable

__all__ = [
    "JsonSerializable",
]

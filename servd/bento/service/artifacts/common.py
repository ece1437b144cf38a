"""Artifacts of no framework's own."""

from model_runtime.bento.service.artifacts.common import (
    JSONArtifact,
    PickleArtifact,
    TextFileArtifact,
)

__all__ = [
    "JSONArtifact",
    "PickleArtifact",
    "TextFileArtifact",
]

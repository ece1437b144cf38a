"""The module that artifacts were in before BentoML 0.10."""

from __future__ import annotations

from model_runtime.bento.frameworks.sklearn import SklearnModelArtifact
from model_runtime.bento.service.artifacts import ArtifactCollection, BentoServiceArtifact
from model_runtime.bento.service.artifacts.common import (
    JSONArtifact,
    PickleArtifact,
    TextFileArtifact,
)

__all__ = [
    "ArtifactCollection",
    "BentoServiceArtifact",
    "JSONArtifact",
    "PickleArtifact",
    "SklearnModelArtifact",
    "TextFileArtifact",
]

"""The module that artifacts were in before BentoML 0.10."""

from model_runtime.bento.artifact import (
    ArtifactCollection,
    BentoServiceArtifact,
    JSONArtifact,
    PickleArtifact,
    SklearnModelArtifact,
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

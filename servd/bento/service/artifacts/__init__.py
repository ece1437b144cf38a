"""Artifacts. Called by users' scripts; may import model_runtime/bento only."""

from model_runtime.bento.service.artifacts import ArtifactCollection, BentoServiceArtifact

__all__ = [
    "ArtifactCollection",
    "BentoServiceArtifact",
]

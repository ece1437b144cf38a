"""Artifacts, by the names of BentoML 0.13."""

from __future__ import annotations

from model_runtime.bento.service.artifacts.base import (
    ARTIFACTS_DIR_NAME,
    ArtifactCollection,
    BentoServiceArtifact,
)

__all__ = ["ARTIFACTS_DIR_NAME", "ArtifactCollection", "BentoServiceArtifact"]

"""Fitted models of scikit-learn."""

from model_runtime.bento.frameworks.sklearn import SklearnModelArtifact

__all__ = [
    "SklearnModelArtifact",
]

"""Fitted models of scikit-learn, written by joblib."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from model_runtime.bento.exceptions import MissingDependencyException
from model_runtime.bento.service.artifacts.base import BentoServiceArtifact

__all__ = ["SklearnModelArtifact"]


class SklearnModelArtifact(BentoServiceArtifact):
    """A fitted model of scikit-learn."""

    def file_in(self, folder: Path) -> Path:
        """See BentoServiceArtifact."""
        return folder / f"{self.name}.pkl"

    def dump(self, value: Any, folder: Path) -> None:
        """See BentoServiceArtifact."""
        _joblib().dump(value, self.file_in(folder))

    def read(self, folder: Path) -> Any:
        """See BentoServiceArtifact."""
        return _joblib().load(self.file_in(folder))


def _joblib() -> Any:
    try:
        return importlib.import_module("joblib")
    except ModuleNotFoundError as error:
        raise MissingDependencyException(
            "SklearnModelArtifact needs scikit-learn: pip install scikit-learn"
        ) from error

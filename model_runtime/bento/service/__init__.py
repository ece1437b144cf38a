"""Services, by the names of BentoML 0.13."""

from __future__ import annotations

from model_runtime.bento.service.artifacts.base import ArtifactCollection, BentoServiceArtifact
from model_runtime.bento.service.definition import (
    BentoService,
    artifacts_decorator,
    env_decorator,
    ver_decorator,
    web_static_content_decorator,
)
from model_runtime.bento.service.env import BentoServiceEnv
from model_runtime.bento.service.inference_api import InferenceAPI, api_decorator

__all__ = [
    "ArtifactCollection",
    "BentoService",
    "BentoServiceArtifact",
    "BentoServiceEnv",
    "InferenceAPI",
    "api_decorator",
    "artifacts_decorator",
    "env_decorator",
    "ver_decorator",
    "web_static_content_decorator",
]

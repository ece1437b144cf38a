"""Services. Called by users' scripts; may import model_runtime/bento and what saves a service."""

from model_runtime.bento.service import (
    ArtifactCollection,
    BentoServiceArtifact,
    BentoServiceEnv,
    InferenceAPI,
    api_decorator,
    artifacts_decorator,
    env_decorator,
    ver_decorator,
    web_static_content_decorator,
)
from servd.bento.saving import save
from servd.bento.service.definition import BentoService

__all__ = [
    "ArtifactCollection",
    "BentoService",
    "BentoServiceArtifact",
    "BentoServiceEnv",
    "InferenceAPI",
    "api_decorator",
    "artifacts_decorator",
    "env_decorator",
    "save",
    "ver_decorator",
    "web_static_content_decorator",
]

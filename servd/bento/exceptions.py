"""What may be raised."""

from model_runtime.bento.exceptions import (
    ArtifactLoadingException,
    BadInput,
    BentoMLConfigException,
    BentoMLException,
    FailedPrecondition,
    InvalidArgument,
    MissingDependencyException,
    NotFound,
)

__all__ = [
    "ArtifactLoadingException",
    "BadInput",
    "BentoMLConfigException",
    "BentoMLException",
    "FailedPrecondition",
    "InvalidArgument",
    "MissingDependencyException",
    "NotFound",
]

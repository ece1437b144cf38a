"""What a service's definition or its files lack, under the names that BentoML 0.13 has for it."""

from __future__ import annotations


class BentoMLException(Exception):  # noqa: N818 - the name that scripts catch
    """The root of what is raised here."""


class InvalidArgument(BentoMLException):
    """An argument is not what is taken."""


class BadInput(InvalidArgument):
    """An input is not what an API takes."""


class NotFound(BentoMLException):
    """There is nothing of that name."""


class FailedPrecondition(BentoMLException):
    """Something has to be done before: an artifact is packed before it is used or saved."""


class ArtifactLoadingException(BentoMLException):
    """An artifact of a saved bundle cannot be loaded."""


class BentoMLConfigException(BentoMLException):
    """The description of a bundle is missing, damaged or of another version."""


class MissingDependencyException(BentoMLException):
    """A package is needed that is not installed."""

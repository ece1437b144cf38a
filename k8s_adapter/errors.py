"""What an export refuses, by name. The CLI shows the message and the hint of each.

This package imports nothing of servd, so its errors are a family of their own.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class ExportError(Exception):
    """The root of all errors that an export raises on purpose."""

    code = "export_failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NothingToExportError(ExportError):
    """The snapshot holds no version that could run on a cluster."""

    code = "nothing_to_export"

    def __init__(self) -> None:
        super().__init__(
            "there is nothing to export: no model version with files or an image is deployed",
            hint="servd deploy func.py:feature_sum    deploys one",
        )


class NoFilesError(NothingToExportError):
    """The applications have no model with files, of which a standalone image could be made."""

    def __init__(self, names: Sequence[str]) -> None:
        ExportError.__init__(
            self,
            "there is nothing to export: a standalone image is made of a model's files, and none "
            f"were deployed for: {', '.join(names)}",
            hint="without --standalone, models that were deployed as images run, too",
        )


class UnknownApplicationError(ExportError):
    """An application that was asked for is not in the snapshot."""

    code = "application_not_found"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        listed = sorted(known)
        near = get_close_matches(name, listed, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"applications are: {', '.join(listed)}"
        super().__init__(f"Application '{name}' does not exist", hint=hint)


class KubeVersionError(ExportError):
    """A `--kube-version` that is none, or that no export was validated for."""

    code = "bad_kube_version"


class KubeNameError(ExportError):
    """A name that Kubernetes refuses; the message names the rule, the hint a valid name."""

    code = "bad_kube_name"

    def __init__(self, what: str, name: str, rule: str, suggestion: str) -> None:
        super().__init__(
            f"Kubernetes refuses the {what} '{name}': {rule}", hint=f"for example: {suggestion}"
        )
        self.suggestion = suggestion


class OptionError(ExportError):
    """An export option whose value is out of range."""

    code = "bad_option"

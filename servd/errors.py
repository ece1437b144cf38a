"""What can go wrong, by name. All layers raise these; http/admin/problems.py answers with them.

A subclass takes domain arguments and builds its own message. `code` is stable and for programs,
`status` is the HTTP status of servd's own API, `hint` is what to do next.
"""

import errno
from collections.abc import Iterable
from difflib import get_close_matches


class ServdError(Exception):
    """The root of all errors that servd raises on purpose."""

    code = "internal"
    status = 500

    def __init__(self, message: str, *, hint: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.traceback = traceback


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean X?" for the known name nearest to `word`, or an empty text."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


class UnknownInputTypeError(ServdError):
    """An input type that no alias names."""

    code = "unknown_input_type"
    status = 400

    def __init__(self, word: str) -> None:
        super().__init__(
            f"'{word}' is not an input type",
            hint="input types are: rows, integers, floats, doubles, strings, bytes, any",
        )


class InvalidNameError(ServdError):
    """A name that breaks the naming rules."""

    code = "invalid_name"
    status = 400


class InvalidValueError(ServdError):
    """A setting whose value is out of range."""

    code = "invalid_value"
    status = 400


class NotFoundError(ServdError):
    """The root of the errors for things that do not exist."""

    code = "not_found"
    status = 404


class ConflictError(ServdError):
    """The root of the errors for changes that clash with what exists."""

    code = "conflict"
    status = 409


class ApplicationNotFoundError(NotFoundError):
    """No application has that name."""

    code = "application_not_found"

    def __init__(self, name: str, known: Iterable[str] = (), *, message: str = "") -> None:
        super().__init__(
            message or f"Application '{name}' does not exist",
            hint=did_you_mean(name, known) or "servd app ls    lists the applications",
        )


class ApplicationExistsError(ConflictError):
    """An application of that name exists."""

    code = "application_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"application '{name}' already exists")


class ModelNotFoundError(NotFoundError):
    """No model has that name."""

    code = "model_not_found"

    def __init__(self, name: str, known: Iterable[str] = (), *, message: str = "") -> None:
        super().__init__(
            message or f"No model with name '{name}' exists.",
            hint=did_you_mean(name, known) or "servd model ls    lists the models",
        )


class VersionNotFoundError(NotFoundError):
    """The model has no such version."""

    code = "version_not_found"

    def __init__(
        self, model: str, version: str, known: Iterable[str] = (), *, message: str = ""
    ) -> None:
        listed = ", ".join(known)
        super().__init__(
            message or f"model with name '{model}' and version '{version}' does not exist",
            hint=f"versions of {model}: {listed}" if listed else "",
        )


class VersionExistsError(ConflictError):
    """That version of the model exists (with other content, where content is compared)."""

    code = "version_exists"

    def __init__(self, model: str, version: str, *, hint: str = "") -> None:
        super().__init__(
            f"model with name '{model}' and version '{version}' already exists", hint=hint
        )


class LinkError(ConflictError):
    """A link that the rules refuse; the message says which rule."""

    code = "link_refused"


class TypeMismatchError(ConflictError):
    """Input types of an application and a model, or of two versions, do not agree."""

    code = "type_mismatch"


class LoadFailedError(ServdError):
    """A replica could not load its model or failed its test call. Nothing was changed."""

    code = "load_failed"
    status = 422


class BundleError(ServdError):
    """An uploaded bundle is not what its digest or its manifest says."""

    code = "bad_bundle"
    status = 400


class StoreError(ServdError):
    """The registry's database could not be read or written."""

    code = "store_failed"
    status = 507


LACKED = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT}
)
"""What a machine may have again later: descriptors, memory, processes, room."""

OF_THE_MACHINE = LACKED | frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""What a machine refuses for a reason of its own: that, and rights."""


class MachineError(StoreError):
    """The machine refuses what a change needs: a full or read-only disk, no descriptors, memory."""

    code = "machine_refused"

    def __init__(self, error: OSError) -> None:
        where = f"{error.filename}: " if error.filename else ""
        super().__init__(
            f"this machine refuses it: {where}{error.strerror or error}",
            hint="make room for it, or give the data directory back its rights, and try again",
        )


class LostChangesError(StoreError):
    """The registry has fewer changes than were acknowledged; it was left as it is."""

    code = "changes_lost"

    def __init__(self, message: str) -> None:
        super().__init__(
            f"{message}. Nothing was changed, all bundles are kept",
            hint="put the good servd.db back (and servd.db-wal, where there is one), "
            "or go on with what is there: servd start --force",
        )


class DaemonNotRunningError(ServdError):
    """The CLI found no daemon to talk to."""

    code = "daemon_not_running"
    status = 503

    def __init__(self, where: str) -> None:
        super().__init__(f"no servd daemon answers at {where}", hint="servd start")


class StartError(ServdError):
    """The daemon cannot start: the message says why."""

    code = "start_failed"


class ConfigError(ServdError):
    """A setting from a flag, a variable or servd.toml is wrong."""

    code = "bad_config"
    status = 400


class TargetError(ServdError):
    """What `servd deploy` was pointed at cannot be deployed; nothing was sent to the daemon."""

    code = "bad_target"
    status = 400


class EngineError(ServdError):
    """There is no container engine, or it cannot be talked to."""

    code = "no_engine"
    status = 503

    @classmethod
    def unanswered(cls, where: str, reason: str) -> "EngineError":
        """Return the error of an engine that does not answer at an address."""
        return cls(
            f"no container engine answers at {where}: {reason}",
            hint="install one (on Debian: apt-get install docker.io) and start it, or say where "
            "it is with DOCKER_HOST, which a daemon reads when it starts: servd stop, then servd "
            "start; without containers: servd deploy … --runtime process",
        )


class ImageError(ServdError):
    """An image could not be built, tried or pushed; the message says which and why."""

    code = "image_failed"
    status = 422

"""What goes wrong around an export. The errors of what is exported are k8s_adapter's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from k8s_adapter.errors import (
    ExportError,
    KubeNameError,
    KubeVersionError,
    OptionError,
    UnknownApplicationError,
)
from servd.errors import ConflictError, InvalidValueError, NotFoundError, ServdError


class OutputError(ConflictError):
    """The place for an export holds what is not to be overwritten, or cannot be written."""

    code = "output_refused"


class NoExportError(NotFoundError):
    """There is no export where one was looked for."""

    code = "export_not_found"


class CheckFailedError(ServdError):
    """`--check` found faults; the message has one a line."""

    code = "check_failed"


class NoSchemasError(ServdError):
    """The schemas that `--check` needs come with an extra that is not installed."""

    code = "schemas_missing"

    def __init__(self, module: str | None) -> None:
        super().__init__(
            f"--check needs Kubernetes' schemas, which are not installed (no module {module})",
            hint="pip install 'servd[k8s]', or export without --check",
        )


class NotExportableError(ServdError):
    """What is registered cannot be exported as it was asked for."""

    code = "export_failed"


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the errors of k8s_adapter, which knows nothing of servd, into servd's."""
    try:
        yield
    except UnknownApplicationError as error:
        raise _renamed(NotFoundError(error.message, hint=error.hint), error) from error
    except (KubeNameError, KubeVersionError, OptionError) as error:
        # The command line's own words are wrong: exit code 2.
        raise InvalidValueError(error.message, hint=error.hint) from error
    except ExportError as error:
        raise _renamed(NotExportableError(error.message, hint=error.hint), error) from error


def _renamed(problem: ServdError, error: ExportError) -> ServdError:
    problem.code = error.code
    return problem

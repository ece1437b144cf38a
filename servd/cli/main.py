"""The `servd` command: the group of all verbs and the one place where errors become exit codes.

Exit codes: 0 ok, 1 failed, 2 usage, 3 daemon not running, 4 not found, 130 interrupted.
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from servd import __version__
from servd.cli.command import GlobalOptions, LazyGroup
from servd.errors import DaemonNotRunningError, ServdError, did_you_mean
from servd.logs.printable import in_json, on_lines

FAILED: Final = 1
USAGE: Final = 2
NOT_RUNNING: Final = 3
NOT_FOUND: Final = 4
INTERRUPTED: Final = 130
_INDENT: Final = "       "

_USAGE_CODES: Final = frozenset(
    {"usage", "bad_config", "invalid_name", "invalid_value", "unknown_input_type"}
)
"""Codes of the errors that are in the words of the command line, whoever finds them."""

_VERBS: Final = {
    "start": ("servd.cli.start", "Start the daemon in the background."),
    "run": ("servd.cli.run", "Run the daemon in the foreground."),
    "frontend": ("servd.cli.frontend", "Answer queries by a published registry (clusters)."),
    "stop": ("servd.cli.stop", "Stop the daemon."),
    "status": ("servd.cli.status", "Show whether the daemon runs, and where."),
    "deploy": ("servd.cli.deploy", "Deploy a function, a class or a pickled model."),
    "predict": ("servd.cli.predict", "Send a query to an application."),
    "test": ("servd.cli.test", "Call a model as a replica would, without a daemon."),
    "ps": ("servd.cli.ps", "List the replicas: state, rates, latencies, memory."),
    "build": ("servd.cli.build", "Build a Docker image of a model or an application."),
    "serve-one": ("servd.cli.serve_one", "Serve one bundle on one port; what an image runs."),
    "logs": ("servd.cli.logs", "Show what a model or the daemon has logged."),
    "scale": ("servd.cli.scale", "Set how many replicas a model version has."),
    "rollback": ("servd.cli.rollback", "Make an older version of a model the current one."),
    "rm": ("servd.cli.rm", "Remove the application and the model of a name."),
    "app": ("servd.cli.app", "Create, list, show, remove, link applications."),
    "route": ("servd.cli.route", "Add, list, remove further paths of applications."),
    "model": ("servd.cli.model", "List, show, remove models."),
    "env": ("servd.cli.env", "List, show, remove environments that models run in."),
    "export-k8s": ("servd.cli.export_k8s", "Write what is deployed for a Kubernetes cluster."),
    "diff-k8s": ("servd.cli.diff_k8s", "Show what has changed since the last export."),
    "clipper-shim": ("servd.cli.clipper_shim", "Write a clipper_admin for scripts as they are."),
    "version": ("servd.cli.version", "Show the version of servd."),
}


_MEANT: Final = {
    **dict.fromkeys(
        ("ls", "list", "show", "get"),
        "servd ps lists replicas, servd app ls applications, servd model ls models",
    ),
    **dict.fromkeys(("apps", "applications"), "servd app ls"),
    **dict.fromkeys(("models", "versions"), "servd model ls"),
    **dict.fromkeys(("replicas", "top"), "servd ps"),
    **dict.fromkeys(("restart", "reload"), "servd stop, then servd start; models come back up"),
    **dict.fromkeys(("serve", "up"), "servd deploy FILE serves a model; servd start, the daemon"),
    **dict.fromkeys(("down", "kill", "shutdown", "quit", "exit"), "servd stop"),
    **dict.fromkeys(("undeploy", "delete", "remove", "del"), "servd rm NAME"),
    **dict.fromkeys(("update", "upgrade", "redeploy"), "servd deploy FILE makes the next version"),
    **dict.fromkeys(("undo", "revert"), "servd rollback MODEL"),
    **dict.fromkeys(("query", "curl", "call"), "servd predict APP JSON"),
    **dict.fromkeys(("try", "check", "run-local"), "servd test TARGET"),
    **dict.fromkeys(("link", "unlink", "create"), "servd app {word} --help"),
    **dict.fromkeys(("envs", "venv", "environment", "environments"), "servd env ls"),
    **dict.fromkeys(("prune", "gc", "clean"), "servd env prune removes unused environments"),
    **dict.fromkeys(("routes", "path", "endpoint"), "servd route ls"),
    **dict.fromkeys(("info", "health", "ping"), "servd status"),
    **dict.fromkeys(("export", "k8s", "kubernetes"), "servd export-k8s"),
    **dict.fromkeys(("config", "settings"), "servd start --help lists them"),
}
"""What those mean who are used to the verbs of other tools."""


class Servd(LazyGroup):
    """The group at the top; its `main` is the one error handler."""

    meant = _MEANT

    def main(  # type: ignore[override]  # click's overloads also offer to return
        self, args: Sequence[str] | None = None, **_: Any
    ) -> NoReturn:
        """Run one command line and exit; called by the entry point and by click's CliRunner."""
        arguments = list(sys.argv[1:] if args is None else args)
        told = GlobalOptions()
        try:
            code = super().main(arguments, prog_name="servd", standalone_mode=False, obj=told)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = USAGE
        except (ServdError, click.ClickException) as error:
            code = report(error, is_json=told.is_json or "--json" in arguments)
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        except BrokenPipeError:
            _drop_output()  # whoever read it has what they wanted
            code = FAILED
        except OSError as error:
            _drop_output()
            code = report(_system_problem(error), is_json=told.is_json)
        except ImportError as error:
            code = report(_import_problem(error), is_json=told.is_json)
        sys.exit(code if isinstance(code, int) else 0)


def _drop_output() -> None:
    """Keep the interpreter from writing what is left at its end, and failing again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(error: ServdError | click.ClickException, *, is_json: bool) -> int:
    """Write an error to stderr and return the exit code that it stands for."""
    problem = error if isinstance(error, ServdError) else _usage_problem(error)
    if is_json:
        fields = {
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
            "traceback": problem.traceback,
        }
        click.echo(in_json(json.dumps({"error": fields}, ensure_ascii=False)), err=True)
    else:
        click.echo(f"error: {on_lines(problem.message, _INDENT)}", err=True)
        # A failure without frames of the model's own has nothing to add to its message.
        if problem.traceback and problem.traceback.strip() != problem.message.strip():
            click.echo(on_lines(problem.traceback.rstrip("\n")), err=True)
        if problem.hint:
            click.echo(f"hint:  {on_lines(problem.hint)}", err=True)  # it may be pasted
    return exit_code(problem)


def exit_code(problem: ServdError) -> int:
    """Return the exit code of an error."""
    if isinstance(problem, DaemonNotRunningError):
        return NOT_RUNNING
    if problem.code in _USAGE_CODES:
        return USAGE
    return NOT_FOUND if problem.status == 404 else FAILED


class UsageProblem(ServdError):  # noqa: N818 - the command line's error, in the errors' own shape
    """A command line that click refuses."""

    code = "usage"
    status = 400


def _system_problem(error: OSError) -> ServdError:
    """Return what the system refused: a full disk, a file that may not be read."""
    where = f"{error.filename}: " if error.filename else ""
    return ServdError(f"{where}{error.strerror or error}")


def _import_problem(error: ImportError) -> ServdError:
    """Return what to say where a file on PYTHONPATH is in the place of a module that servd needs.

    Raises:
        ImportError: that is not why.
    """
    top = (error.name or "").partition(".")[0]
    file = Path(getattr(sys.modules.get(top), "__file__", None) or error.path or "/").absolute()
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    is_there = any(file.is_relative_to(Path(folder).absolute()) for folder in named)
    if not is_there or file.is_relative_to(Path(__file__).parents[2] / top):
        raise error
    return ServdError(
        f"PYTHONPATH has {file} before the {top} that servd itself needs",
        hint="rename it, or leave its folder out of PYTHONPATH: what a model imports from beside "
        "its file, or from its project, is found without",
    )


def _usage_problem(error: click.ClickException) -> UsageProblem:
    context = getattr(error, "ctx", None)
    hint = getattr(error, "hint", "")
    message = error.format_message()
    if type(error) is click.BadParameter and error.param is not None:
        colon = "" if error.message.startswith("must ") else ":"
        message = f"{_shown_name(error.param)}{colon} {error.message}"
        return UsageProblem(
            message.rstrip("."), hint=f"{context.command_path} --help" if context else ""
        )
    if isinstance(error, click.NoSuchOption):
        message = f"unknown option '{error.option_name}'"
        hint = _nearest_option(error, context)
    if not hint and context is not None:
        hint = f"{context.command_path} --help"
    return UsageProblem(message[:1].lower() + message[1:].rstrip("."), hint=hint)


def _shown_name(parameter: click.Parameter) -> str:
    is_option = isinstance(parameter, click.Option)
    return parameter.opts[-1] if is_option else parameter.human_readable_name


def _nearest_option(error: click.NoSuchOption, context: click.Context | None) -> str:
    if context is None:
        return ""
    known = [word for option in context.command.params for word in option.opts]
    return did_you_mean(error.option_name, known)


@click.group(
    cls=Servd,
    verbs=_VERBS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="servd %(version)s")
def cli() -> None:
    """Deploy Python models and get predictions over HTTP, with a latency promise."""


def main() -> None:
    """Run the command line; the entry point of the `servd` script."""
    cli.main()

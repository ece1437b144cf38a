"""`servd app`: applications."""

from typing import Any

import click

from servd.cli.ps import slow_lines
from servd.cli.session import Session
from servd.cli.values import OBJECTIVE, default_remark
from servd.cli.verb import VerbGroup, option
from servd.client import calls


@click.group("app", cls=VerbGroup)
def command() -> None:
    """Create, list, show, remove, link applications; choose the default one."""


@command.command(
    "create",
    examples=(
        "servd app create hello-world --input-type doubles --default -1.0 --slo 100ms",
        "servd app create scores --input-type json",
    ),
)
@click.argument("name")
@option(
    "--input-type",
    "TYPE",
    "rows, integers, floats, doubles, strings, bytes or any.",
    default="doubles",
    show_default=True,
)
@option("--default", "OUTPUT", "The answer where none comes in time.", name="default_output")
@option(
    "--slo",
    "DURATION",
    "Time within which a query is answered.",
    name="slo_us",
    type=OBJECTIVE,
    default="100ms",
    show_default=True,
)
def create(
    session: Session, name: str, *, input_type: str, default_output: str | None, slo_us: int
) -> None:
    """Create an application: a name that answers queries."""
    settings: Any = {
        "input_type": input_type,
        "default_output": default_output,
        "slo_us": slo_us,
    }
    created = session.client().ask(calls.create_application(name, **settings))
    if remark := default_remark(default_output):
        session.output.warning(remark)
    session.output.result(created, f"created the application {name}")


@command.command("ls", examples=("servd app ls", "servd app ls --json"))
def ls(session: Session) -> None:
    """List the applications."""
    applications = session.client().ask(calls.applications())
    output = session.output
    if output.is_json:
        output.document(applications)
    elif applications:
        headers = ("NAME", "INPUT", "SLO", "DEFAULT", "MODELS", "URL")
        output.table(headers, [_row(application) for application in applications])
    else:
        output.line("no applications: servd app create NAME    creates one")


def _row(application: dict[str, Any]) -> tuple[str, ...]:
    default = application["default_output"]
    return (
        application["name"],
        application["input_type"],
        "-" if _is_web(application) else slo_text(application["slo_us"]),
        "-" if default is None else default,
        ", ".join(application["linked_models"]) or "-",
        application.get("query_url") or "-",
    )


def _is_web(application: dict[str, Any]) -> bool:
    """Return whether it passes requests on: then it has no objective, and all below its name."""
    return str(application.get("query_url") or "").endswith("/")


def slo_text(slo_us: int) -> str:
    """Return a latency objective as it is written on the command line."""
    return f"{slo_us / 1000:g}ms"


@command.command("show", examples=("servd app show feature_sum", "servd app show iris --json"))
@click.argument("name")
def show(session: Session, name: str) -> None:
    """Show one application."""
    application = session.client().ask(calls.application(name))
    output = session.output
    if output.is_json:
        output.document(application)
        return
    output.answer(application["name"])
    names = ("input", "slo", "default", "models", "url")
    output.fields(list(zip(names, _row(application)[1:], strict=True)))
    for text in slow_lines(session.client().ask(calls.replicas())):
        if application["linked_models"] and text.startswith(f"{application['linked_models'][0]}:"):
            output.line(text)


@command.command("rm", examples=("servd app rm hello-world", "servd app rm hello-world --json"))
@click.argument("name")
def rm(session: Session, name: str) -> None:
    """Remove an application; its models stay."""
    session.client().ask(calls.delete_application(name))
    session.output.result(
        {"name": name, "removed": ["application"]}, f"removed the application {name}"
    )


@command.command("default", examples=("servd app default iris", "servd app default --none"))
@click.argument("name", required=False)
@click.option("--none", "is_none", is_flag=True, help="Choose none: of several none answers there.")
def default(session: Session, name: str | None, *, is_none: bool) -> None:
    """Choose the application that paths without a name answer for, or say which it is.

    POST /predict is one. Where none is chosen the only application answers there.
    """
    if name is not None and is_none:
        raise click.UsageError("give a NAME or --none, not both")
    client = session.client()
    if name is None and not is_none:
        found = client.ask(calls.default_application())
    else:
        found = client.ask(calls.set_default_application(name))
    session.output.result(found, _default_text(found))


def _default_text(found: dict[str, Any]) -> str:
    name, is_chosen = found["name"], found["is_chosen"]
    if name is None:
        return "no default application: servd app default NAME    chooses one"
    why = "" if is_chosen else ", as it is the only one"
    return f"{name} is the default application{why}: it answers at the root too, as POST /predict"


@command.command(
    "link", examples=("servd app link hello-world sum-model", "servd app link iris iris --json")
)
@click.argument("app")
@click.argument("model")
def link(session: Session, app: str, model: str) -> None:
    """Let a model answer an application's queries."""
    session.client().ask(calls.link(app, model))
    session.output.result({"app": app, "model": model}, f"{app} is answered by {model}")


@command.command(
    "unlink",
    examples=("servd app unlink hello-world sum-model", "servd app unlink iris iris --json"),
)
@click.argument("app")
@click.argument("model")
def unlink(session: Session, app: str, model: str) -> None:
    """Take a model away from an application."""
    session.client().ask(calls.unlink(app, model))
    session.output.result(
        {"app": app, "model": model},
        f"unlinked; {app} now has no model, and answers its default output or 503",
    )

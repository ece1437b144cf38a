"""`servd model`: models and their versions."""

from typing import Any

import click

from servd.cli.session import Session
from servd.cli.verb import VerbGroup
from servd.client import calls


@click.group("model", cls=VerbGroup)
def command() -> None:
    """List, show, remove models."""


@command.command("ls", examples=("servd model ls", "servd model ls --json"))
def ls(session: Session) -> None:
    """List the models and their versions."""
    models = session.client().ask(calls.models())
    output = session.output
    if output.is_json:
        output.document(models)
    elif models:
        rows = [row for model in models for row in rows_of(model)]
        output.table(("MODEL", "VERSION", "CURRENT", "INPUT", "REPLICAS", "MAX BATCH"), rows)
    else:
        output.line("no models: servd deploy func.py:function    deploys one")


def rows_of(model: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of a model in a table: one a version."""
    return [
        (
            model["name"],
            version["version"],
            "yes" if version["is_current"] else "",
            version["input_type"],
            f"{version['ready']}/{version['replicas']}",
            "adaptive" if version["max_batch"] == -1 else str(version["max_batch"]),
        )
        for version in model["versions"]
    ]


@command.command(
    "show",
    examples=("servd model show feature_sum", "servd model show iris --json"),
    body="servd.cli.model_body:show",
)
@click.argument("name")
def show() -> None:
    """Show one model with its versions."""


@command.command("rm", examples=("servd model rm feature_sum", "servd model rm feature_sum:1"))
@click.argument("name", metavar="MODEL[:VERSION]")
@click.option("--force", is_flag=True, help="Also the current version, and what answers queries.")
def rm(session: Session, name: str, *, force: bool) -> None:
    """Remove a model, or one version of it, and end its replicas."""
    model, _, version = name.partition(":")
    call = calls.delete_model(model, version or None, is_forced=force)
    session.client(timeout_s=60.0).ask(call)
    session.output.result({"name": name, "removed": ["model"]}, f"removed the model {name}")

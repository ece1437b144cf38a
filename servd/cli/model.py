"""`servd model`: models and their versions."""

import json
from itertools import islice
from typing import Any, Final

import click

from model_runtime.signature import EACH, Signature, parse
from servd.cli.output import Output
from servd.cli.session import Session
from servd.cli.verb import VerbGroup
from servd.client.admin import query, segment
from servd.schemas.faults import wanted

_MAX_SHOWN: Final = 50


@click.group("model", cls=VerbGroup)
def command() -> None:
    """List, show, remove models."""


@command.command("ls", examples=("servd model ls", "servd model ls --json"))
def ls(session: Session) -> None:
    """List the models and their versions."""
    models = session.client().get("/models")
    output = session.output
    if output.is_json:
        output.document(models)
    elif models:
        rows = [row for model in models for row in _rows(model)]
        output.table(("MODEL", "VERSION", "CURRENT", "INPUT", "REPLICAS", "MAX BATCH"), rows)
    else:
        output.line("no models: servd deploy func.py:function    deploys one")


def _rows(model: dict[str, Any]) -> list[tuple[str, ...]]:
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


@command.command("show", examples=("servd model show feature_sum", "servd model show iris --json"))
@click.argument("name")
def show(session: Session, name: str) -> None:
    """Show one model with its versions."""
    model = session.client().get(f"/models/{segment(name)}")
    output = session.output
    if output.is_json:
        output.document(model)
        return
    output.answer(f"{model['name']}  current version {model['current_version'] or '-'}")
    rows = [row[1:] for row in _rows(model)]
    if rows:
        output.table(("VERSION", "CURRENT", "INPUT", "REPLICAS", "MAX BATCH"), rows)
    for version in model["versions"]:
        if version["is_current"] and version.get("signature"):
            output.line("")
            _show_signature(output, version["version"], parse(version["signature"]))


def _show_signature(output: Output, version: str, signature: Signature) -> None:
    """Write what a version takes and gives."""
    called = "one at a time" if signature.call == EACH else "in batches"
    output.line(f"version {version} takes {signature.input_type}, {called}")
    if signature.fields:
        _show_fields(output, signature)
    elif signature.value:
        output.line(f"an input: {wanted(signature.value)}")
    if signature.output:
        output.line(f"an output: {wanted(signature.output)}")
    if signature.is_stream:
        output.line("it yields items: a stream, or a list of them")
    if signature.has_example:
        output.line(f"for example: {json.dumps(signature.example, ensure_ascii=False)}")


def _show_fields(output: Output, signature: Signature) -> None:
    fields = signature.fields or {}
    rows = [
        (name, wanted(schema), _default(name, schema, signature))
        for name, schema in islice(fields.items(), _MAX_SHOWN)
    ]
    output.table(("FIELD", "TYPE", "DEFAULT"), rows)
    if len(fields) > _MAX_SHOWN:
        output.line(f"… and {len(fields) - _MAX_SHOWN} more: --json shows all")


def _default(name: str, schema: dict[str, Any], signature: Signature) -> str:
    return "" if name in signature.required else json.dumps(schema.get("default"))


@command.command("rm", examples=("servd model rm feature_sum", "servd model rm feature_sum:1"))
@click.argument("name", metavar="MODEL[:VERSION]")
@click.option("--force", is_flag=True, help="Also the current version, and what answers queries.")
def rm(session: Session, name: str, *, force: bool) -> None:
    """Remove a model, or one version of it, and end its replicas."""
    model, _, version = name.partition(":")
    path = f"/models/{segment(model)}"
    if version:
        path += f"/versions/{segment(version)}"
    client = session.client(timeout_s=60.0)
    client.delete(path + query(force="true" if force else None))
    session.output.result({"name": name, "removed": ["model"]}, f"removed the model {name}")

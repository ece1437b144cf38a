"""What `servd model show` does. Loaded when it is run: it reads signatures."""

import json
from itertools import islice
from typing import Any, Final

from model_runtime.signature import EACH, Signature, parse
from servd.cli.model import rows_of
from servd.cli.output import Output
from servd.cli.session import Session
from servd.client import calls
from servd.quantities import counted
from servd.registry.limits import shown_cpus, shown_memory
from servd.schemas.examples import brief
from servd.schemas.faults import wanted

_LONGEST_EXAMPLE: Final = 250
_MAX_SHOWN: Final = 50


def show(session: Session, /, name: str) -> None:
    """Show one model with its versions."""
    model = session.client().ask(calls.model(name))
    output = session.output
    if output.is_json:
        output.document(model)
        return
    output.answer(f"{model['name']}  current version {model['current_version'] or '-'}")
    rows = [row[1:] for row in rows_of(model)]
    if rows:
        output.table(("VERSION", "CURRENT", "INPUT", "REPLICAS", "MAX BATCH"), rows)
    for version in model["versions"]:
        if version.get("environment"):
            output.line(f"version {version['version']} runs in {version['environment']}")
        for line in _runs(version):
            output.line(line)
    for version in model["versions"]:
        if version["is_current"] and version.get("signature"):
            output.line("")
            _show_signature(output, version["version"], parse(version["signature"]))


def _runs(version: dict[str, Any]) -> list[str]:
    """Return what a version's replicas run on and may use, where its deployer has said anything."""
    said = []
    if version.get("device"):
        said.append(f"device {version['device']}")
    said += version.get("limits") or _limits_asked(version)
    if version.get("gpus"):
        said.append(f"GPUs {version['gpus']}")
    if version.get("threads"):
        said.append(counted(version["threads"], "thread"))
    if version.get("env_vars"):
        said.append(f"variables {', '.join(version['env_vars'])}")
    return [f"version {version['version']} runs with: {'; '.join(said)}"] if said else []


def _limits_asked(version: dict[str, Any]) -> list[str]:
    """Return its limits where no replica runs, of which it would be known how they are kept."""
    words = []
    if version.get("memory_bytes"):
        words.append(f"memory {shown_memory(version['memory_bytes'])}")
    if version.get("cpus"):
        words.append(shown_cpus(version["cpus"]))
    return words


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
        output.line(f"for example: {brief(signature.example, _LONGEST_EXAMPLE)}")


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

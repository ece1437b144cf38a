"""`servd scale`."""

import click

from servd.cli.session import Session
from servd.cli.values import COUNT
from servd.cli.verb import verb
from servd.client import calls
from servd.quantities import counted


@verb("scale", examples=("servd scale feature_sum 4", "servd scale feature_sum:1 0"))
@click.argument("model", metavar="MODEL[:VERSION]")
@click.argument("count", metavar="N", type=COUNT)
def command(session: Session, model: str, count: int) -> None:
    """Set how many replicas a version of a model has; the current version if none is named."""
    name, _, version = model.partition(":")
    call = calls.scale(name, count, version or None)
    answer = session.client(timeout_s=300.0).ask(call)
    document = answer if isinstance(answer, dict) else {"model": name, "replicas": count}
    shown = f"{name}:{version or document.get('version', '')}".rstrip(":")
    none = "; queries for it get the default output or 503" if not count else ""
    session.output.result(document, f"{shown} has {counted(count, 'replica')}{none}")

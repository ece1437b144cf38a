"""`servd rollback`."""

import click

from servd.cli.session import Session
from servd.cli.verb import verb
from servd.client import calls


@verb("rollback", examples=("servd rollback feature_sum", "servd rollback feature_sum 1"))
@click.argument("model", metavar="MODEL[:VERSION]")
@click.argument("version", required=False)
def command(session: Session, model: str, version: str | None) -> None:
    """Make an older version of a model the current one; the one before it if none is named."""
    model, _, named = model.partition(":")
    version = version or named or None
    # The older version's replicas may have to be launched first.
    client = session.client(timeout_s=300.0)
    answer = client.ask(calls.rollback(model, version))
    session.output.result(answer, f"{answer['model']}:{answer['version']} is current")

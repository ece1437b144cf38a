"""`servd logs`."""

from collections.abc import Iterator

import click

from servd.cli.session import Session
from servd.cli.values import COUNT
from servd.cli.verb import verb
from servd.client.admin import AdminClient, query, segment
from servd.errors import NotFoundError


@verb("logs", examples=("servd logs feature_sum -f", "servd logs daemon -n 20"))
@click.argument("name", metavar="MODEL[:VERSION]|APP|daemon")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=COUNT,
    default=100,
    show_default=True,
    help="How many of the last lines.",
)
@click.option("--replica", type=COUNT, help="Only this replica.")
def command(session: Session, name: str, *, follow: bool, count: int, replica: int | None) -> None:
    """Show what the replicas of a model, or the daemon, have logged."""
    # Nothing may be logged for hours: following has no limit that counts.
    client = session.client(timeout_s=86400.0 if follow else 30.0)
    values: dict[str, object] = {
        "lines": count,
        "replica": replica,
        "follow": "true" if follow else None,
    }
    lines = _lines(client, name, values)
    output = session.output
    if output.is_json and not follow:
        output.document({"name": name, "lines": list(lines)})
        return
    for line in lines:
        if output.is_json:
            output.record({"line": line})
        else:
            output.logged(line)


def _lines(client: AdminClient, name: str, values: dict[str, object]) -> Iterator[str]:
    model, _, version = name.partition(":")
    try:
        yield from client.lines(f"/logs/{segment(model)}{query(version=version or None, **values)}")
    except NotFoundError:
        linked = _linked_models(client, name)
        if not linked:
            raise
        for one in linked:
            yield from client.lines(f"/logs/{segment(one)}{query(**values)}")


def _linked_models(client: AdminClient, name: str) -> list[str]:
    """Return the models of the application of that name, or none where there is no such one."""
    try:
        linked: list[str] = client.get(f"/applications/{segment(name)}")["linked_models"]
    except NotFoundError:
        return []
    return linked

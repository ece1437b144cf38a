"""`servd logs`."""

import click

from servd.cli.session import Session
from servd.cli.values import COUNT
from servd.cli.verb import verb
from servd.client.calls import LogsWanted
from servd.client.logs import log_lines


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
    model, _, version = name.partition(":")
    wanted = LogsWanted(lines=count, version=version or None, replica=replica, is_following=follow)
    lines = log_lines(client, model, wanted)
    output = session.output
    if output.is_json and not follow:
        output.document({"name": name, "lines": list(lines)})
        return
    for line in lines:
        if output.is_json:
            output.record({"line": line})
        else:
            output.logged(line)

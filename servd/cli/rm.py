"""`servd rm`."""

import click

from servd.cli.session import Session
from servd.cli.verb import verb
from servd.client import calls
from servd.client.admin import AdminClient
from servd.errors import ConflictError, NotFoundError, did_you_mean


@verb("rm", examples=("servd rm feature_sum", "servd rm feature_sum --json"))
@click.argument("name")
@click.option("--force", is_flag=True, help="Also where other applications are left without it.")
def command(session: Session, name: str, *, force: bool) -> None:
    """Remove the application and the model of that name, whichever exist; says what it removed."""
    client = session.client(timeout_s=60.0)
    if not force:
        _check_alone(client, name)
    removed = []
    # The application goes first, so that no query meets it without its model.
    for noun, call in (
        ("application", calls.delete_application(name)),
        ("model", calls.delete_model(name, is_forced=True)),
    ):
        try:
            client.ask(call)
        except NotFoundError:
            continue
        removed.append(noun)
    if not removed:
        known = [
            item["name"] for item in client.ask(calls.applications()) + client.ask(calls.models())
        ]
        raise NotFoundError(
            f"there is no application and no model named '{name}'",
            hint=did_you_mean(name, known) or "servd app ls; servd model ls",
        )
    session.output.result(
        {"name": name, "removed": removed}, f"removed the {' and the '.join(removed)} {name}"
    )


def _check_alone(client: AdminClient, name: str) -> None:
    """Refuse to remove a model that answers other applications, before anything is removed."""
    others = [
        item["name"]
        for item in client.ask(calls.applications())
        if name in item["linked_models"] and item["name"] != name
    ]
    if others:
        raise ConflictError(
            f"the model {name} answers {', '.join(others)} too",
            hint=f"servd app unlink {others[0]} {name} first, or --force removes it",
        )

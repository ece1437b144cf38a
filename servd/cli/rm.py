"""`servd rm`."""

import click

from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.errors import NotFoundError, did_you_mean


@verb("rm", examples=("servd rm feature_sum", "servd rm feature_sum --json"))
@click.argument("name")
@pass_session
def command(session: Session, name: str) -> None:
    """Remove the application and the model of that name, whichever exist; says what it removed."""
    from servd.client import segment  # noqa: PLC0415 - help does without

    client = session.client(timeout_s=60.0)
    removed = []
    # The application goes first, so that no query meets it without its model.
    for noun, path in (("application", "/applications"), ("model", "/models")):
        try:
            client.delete(f"{path}/{segment(name)}")
        except NotFoundError:
            continue
        removed.append(noun)
    if not removed:
        known = [item["name"] for item in client.get("/applications") + client.get("/models")]
        raise NotFoundError(
            f"there is no application and no model named '{name}'",
            hint=did_you_mean(name, known) or "servd app ls; servd model ls",
        )
    session.output.result(
        {"name": name, "removed": removed}, f"removed the {' and the '.join(removed)} {name}"
    )

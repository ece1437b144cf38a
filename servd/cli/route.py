"""`servd route`: further paths of applications."""

import json
from typing import Any

import click

from servd.cli.session import Session
from servd.cli.verb import VerbGroup, option
from servd.client import calls


@click.group("route", cls=VerbGroup)
def command() -> None:
    """Add, list, remove further paths of applications."""


@command.command(
    "add",
    examples=(
        "servd route add 'POST /score' identity --in X --out score",
        "servd route add 'GET /predict' iris --out output --batch",
    ),
)
@click.argument("route", metavar="'METHOD PATH'")
@click.argument("app")
@option(
    "--in", "KEY", "Of a POST: the body's key that has the input.  [default: all]", name="takes"
)
@option("--out", "KEY", "The answer's key that has the output.  [default: all]", name="gives")
@click.option(
    "--batch", is_flag=True, help="It is a list of inputs, and the output one of outputs."
)
def add(
    session: Session, route: str, app: str, *, takes: str | None, gives: str | None, batch: bool
) -> None:
    """Have an application answer at a path of your own, with bodies of your own shape."""
    method, path = _split(route)
    body = {"method": method, "path": path, "app": app, "takes": takes, "gives": gives}
    added = session.client().ask(calls.add_route({**body, "is_batch": batch}))
    session.output.result(added, f"{method} {path} is answered by {app}: {added['query_url']}")


@command.command("ls", examples=("servd route ls", "servd route ls --json"))
def ls(session: Session) -> None:
    """List the routes."""
    routes = session.client().ask(calls.routes())
    output = session.output
    if output.is_json:
        output.document(routes)
    elif routes:
        output.table(("ROUTE", "APP", "BODY", "ANSWER", "URL"), [_row(route) for route in routes])
    else:
        output.line("no routes: servd route add 'POST /score' APP --in X --out score    adds one")


def _row(route: dict[str, Any]) -> tuple[str, ...]:
    is_get = route["method"] == "GET"
    return (
        f"{route['method']} {route['path']}",
        route["app"],
        "-" if is_get else _shape("input", route["takes"], is_batch=route["is_batch"]),
        _shape("output", route["gives"], is_batch=route["is_batch"]),
        route["query_url"],
    )


def _shape(what: str, key: str | None, *, is_batch: bool) -> str:
    value = f"[{what}, …]" if is_batch else what
    return value if key is None else f"{{{json.dumps(key, ensure_ascii=False)}: {value}}}"


@command.command(
    "rm", examples=("servd route rm 'POST /score'", "servd route rm 'GET /predict' --json")
)
@click.argument("route", metavar="'METHOD PATH'")
def rm(session: Session, route: str) -> None:
    """Remove a route; its application stays."""
    method, path = _split(route)
    session.client().ask(calls.delete_route(method, path))
    removed = {"method": method, "path": path, "removed": ["route"]}
    session.output.result(removed, f"removed the route {method} {path}")


def _split(route: str) -> tuple[str, str]:
    """Return the method and the path of a route as it is given.

    Raises:
        click.UsageError: it is not both.
    """
    method, _, path = route.strip().partition(" ")
    path = path.strip()
    if not path.startswith("/"):
        raise click.UsageError(f"'{route}' is not a route: write it as 'POST /score'")
    return method.upper(), path.rstrip("/") or path

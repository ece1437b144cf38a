"""`servd env`: the environments that servd has built for models."""

import click

from servd.cli.verb import VerbGroup

_BODY = "servd.cli.env_body"


@click.group("env", cls=VerbGroup)
def command() -> None:
    """List, show, remove environments that models run in."""


@command.command("ls", examples=("servd env ls", "servd env ls --json"), body=f"{_BODY}:ls")
def ls() -> None:
    """List the environments: their Python, packages, size, and who uses them."""


@command.command(
    "show", examples=("servd env show 3f9a", "servd env show 3f9a --json"), body=f"{_BODY}:show"
)
@click.argument("key")
def show() -> None:
    """Show one environment with its packages. KEY may be shortened."""


@command.command(
    "prune", examples=("servd env prune", "servd env prune --json"), body=f"{_BODY}:prune"
)
def prune() -> None:
    """Remove the environments that no version and no deployment uses."""


@command.command(
    "rm", examples=("servd env rm 3f9a", "servd env rm 3f9a --force"), body=f"{_BODY}:rm"
)
@click.argument("key")
@click.option("--force", is_flag=True, help="Also one that versions use; it is built anew.")
def rm() -> None:
    """Remove an environment. KEY may be shortened."""

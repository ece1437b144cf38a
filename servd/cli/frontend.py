"""`servd frontend`: a front end without a daemon, for images and clusters."""

from pathlib import Path
from typing import Final

import click

from servd.cli.settings import cors, query_bounds, show_errors
from servd.cli.values import DURATION
from servd.cli.verb import option, verb

_PATH: Final = click.Path(path_type=Path)

_EXAMPLES: Final = (
    "servd frontend --registry registry.json --public-queries",
    "servd frontend --registry /etc/servd/registry --tls /etc/servd/tls",
)


@verb("frontend", examples=_EXAMPLES, body="servd.cli.frontend_body:serve")
@option(
    "--registry",
    "PATH",
    "The published registry: a file, or a folder with registry.json. It may change.",
    required=True,
    type=_PATH,
)
@option(
    "--port",
    "PORT",
    "Port of the query API.  [default: 1337]",
    name="query_port",
    type=click.IntRange(0, 65535),
)
@option("--bind", "ADDRESS", "Address to listen on.  [default: 0.0.0.0]")
@option("--curve", "DIR", "Folder with the keys for replicas at tcp:// endpoints.", type=_PATH)
@option(
    "--tls", "DIR", "Folder with the certificates for replicas at tls:// endpoints.", type=_PATH
)
@option("--cache-size", "SIZE", "Memory of the cache.  [default: 32MiB]")
@option("--drain", "DURATION", "Time for open queries at the end.  [default: 10s]")
@option(
    "--drain-delay",
    "DURATION",
    "Time it goes on accepting after SIGTERM.  [default: 5s]",
    name="drain_delay_s",
    type=DURATION,
    default="5s",
)
@option("--log-level", "LEVEL", "debug, info, warning or error.  [default: info]")
@query_bounds
@click.option(
    "--public-queries/--no-public-queries",
    default=None,
    help="Let queries in without a token (SERVD_TOKEN).",
)
@show_errors
@cors
def command() -> None:
    """Answer queries by a published registry, with replicas found by name, until told to end.

    What `servd export-k8s` runs as query-frontend. It needs no daemon and keeps nothing.
    """

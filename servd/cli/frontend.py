"""`servd frontend`: a front end without a daemon, for images and clusters."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.errors import ConfigError

if TYPE_CHECKING:
    from servd.config import Config

_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - it answers other machines: that is what it is for
_DELAY_S: Final = 5.0

_EXAMPLES: Final = (
    "servd frontend --registry registry.json --public-queries",
    "servd frontend --registry /etc/servd/registry --tls /etc/servd/tls",
)


def _duration(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float:
    from servd.quantities import parse_duration  # noqa: PLC0415 - help does without

    try:
        seconds = _DELAY_S if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if seconds < 0:
        raise click.BadParameter(f"{value!r} is below zero")
    return seconds


@verb("frontend", examples=_EXAMPLES)
@click.option(
    "--registry",
    metavar="PATH",
    required=True,
    type=click.Path(path_type=Path),
    help="The published registry: a file, or a folder with registry.json. It may change.",
)
@click.option(
    "--port",
    "query_port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Port of the query API.  [default: 1337]",
)
@click.option("--bind", metavar="ADDRESS", help="Address to listen on.  [default: 0.0.0.0]")
@click.option(
    "--curve",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with the keys for replicas at tcp:// endpoints.",
)
@click.option(
    "--tls",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with the certificates for replicas at tls:// endpoints.",
)
@click.option("--cache-size", metavar="SIZE", help="Memory of the cache.  [default: 32MiB]")
@click.option(
    "--drain", metavar="DURATION", help="Time for open queries at the end.  [default: 10s]"
)
@click.option(
    "--drain-delay",
    "drain_delay_s",
    metavar="DURATION",
    callback=_duration,
    help="Time it goes on accepting after SIGTERM.  [default: 5s]",
)
@click.option(
    "--log-level", metavar="LEVEL", help="debug, info, warning or error.  [default: info]"
)
@click.option("--max-body", metavar="SIZE", help="Longest request body.  [default: 64MiB]")
@click.option("--max-rows", metavar="N", help="Inputs of one input_batch.  [default: 16384]")
@click.option(
    "--max-values", metavar="N", help="JSON values of one body for 'any'.  [default: 2000000]"
)
@click.option(
    "--max-ratio", metavar="N", help="Times its size a packed body unpacks to.  [default: 200]"
)
@click.option(
    "--public-queries/--no-public-queries",
    default=None,
    help="Let queries in without a token (SERVD_TOKEN).",
)
@pass_session
def command(
    session: Session,
    /,
    registry: Path,
    curve: Path | None,
    tls: Path | None,
    drain_delay_s: float,
    **flags: Any,
) -> None:
    """Answer queries by a published registry, with replicas found by name, until told to end.

    What `servd export-k8s` runs as query-frontend. It needs no daemon and keeps nothing.
    """
    flags["bind"] = flags["bind"] or os.environ.get("SERVD_BIND") or _EVERYWHERE
    config = session.load_config(flags, _check)
    import uvloop  # noqa: PLC0415 - wanted by this verb only

    from servd.processes.cluster_frontend import ClusterFrontendSettings, serve  # noqa: PLC0415 - all that serves
    from servd.system.offspring import offspring  # noqa: PLC0415 - as above

    settings = ClusterFrontendSettings(
        registry=registry, curve=curve, tls=tls, drain_delay_s=drain_delay_s
    )
    offspring.take_in()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, settings))


def _check(config: "Config") -> None:
    """Refuse to be reachable from other machines by accident."""
    from servd.config import is_loopback  # noqa: PLC0415 - help does without

    if config.token is None and not config.public_queries and not is_loopback(config.bind):
        raise ConfigError(
            f"--bind {config.bind} is reachable from other machines and no token is set",
            hint="set SERVD_TOKEN, which queries must carry, or let all in: --public-queries",
        )

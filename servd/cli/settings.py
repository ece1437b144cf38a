"""The daemon's settings as options of `servd start` and `servd run`; one list for both."""

from typing import Final

import click

from servd.cli.verb import option, together

show_errors: Final = click.option(
    "--show-errors/--no-show-errors",
    default=None,
    help="Tell callers what a model raised.  [default: on loopback]",
)
"""Decorates a verb whose process answers queries."""

cors: Final = click.option(
    "--cors",
    metavar="ORIGIN",
    multiple=True,
    callback=lambda _ctx, _parameter, origins: origins or None,
    help="Let pages of that origin send queries; * lets all. May be repeated.",
)
"""Decorates a verb whose process answers queries."""

query_bounds: Final = together(
    option("--max-body", "SIZE", "Longest request body.  [default: 64MiB]"),
    option("--max-rows", "N", "Inputs of one input_batch.  [default: 16384]"),
    option("--max-values", "N", "JSON values of one body for 'any'.  [default: 2000000]"),
    option("--max-ratio", "N", "Times its size a packed body unpacks to.  [default: 200]"),
)
"""Decorates a verb whose process reads queries."""

daemon_settings: Final = together(
    option("--query-port", "PORT", "Port of the query API.  [default: 1337]"),
    option("--admin-port", "PORT", "Port of the admin API.  [default: 1338]"),
    option("--bind", "ADDRESS", "Address both listen on.  [default: 127.0.0.1]"),
    option("--cache-size", "SIZE", "Memory of the prediction cache.  [default: 32MiB]"),
    option("--frontends", "N", "Processes that answer queries; 1: the daemon does.  [default: 1]"),
    option("--log-level", "LEVEL", "debug, info, warning or error.  [default: info]"),
    option("--drain", "DURATION", "Time for running queries at a stop.  [default: 10s]"),
    query_bounds,
    option("--load-timeout", "DURATION", "Time for a model to load.  [default: 120s]"),
    option("--test-timeout", "DURATION", "Time for its test call.  [default: 30s]"),
    option("--predict-timeout", "DURATION", "Time for one call of a model.  [default: 60s]"),
    option("--warm-versions", "N", "Versions of a model whose replicas stay up.  [default: 2]"),
    option("--carrier", "KIND", "To replica processes: unix, zmq or auto (unix).  [default: auto]"),
    click.option(
        "--public-queries/--no-public-queries",
        default=None,
        help="Let queries in without the token (SERVD_TOKEN guards the admin API then).",
    ),
    show_errors,
    cors,
)
"""Decorates a verb with an option for each setting; None stands for not given."""

force_option: Final = click.option(
    "--force",
    "is_forced",
    is_flag=True,
    help="Start on a registry that has lost changes, with what is there.",
)
"""Decorates a verb with the option to start on a registry that has lost changes."""

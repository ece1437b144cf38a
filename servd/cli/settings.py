"""The daemon's settings as options of `servd start` and `servd run`; one list for both."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

_OPTIONS: Final = (
    ("query_port", "PORT", "Port of the query API.  [default: 1337]"),
    ("admin_port", "PORT", "Port of the admin API.  [default: 1338]"),
    ("bind", "ADDRESS", "Address both listen on.  [default: 127.0.0.1]"),
    ("cache_size", "SIZE", "Memory of the prediction cache.  [default: 32MiB]"),
    ("frontends", "N", "Processes that answer queries; 1: the daemon does.  [default: 1]"),
    ("log_level", "LEVEL", "debug, info, warning or error.  [default: info]"),
    ("drain", "DURATION", "Time for running queries at a stop.  [default: 10s]"),
    ("max_body", "SIZE", "Longest request body.  [default: 64MiB]"),
    ("max_rows", "N", "Inputs of one input_batch.  [default: 16384]"),
    ("max_values", "N", "JSON values of one body for 'any'.  [default: 2000000]"),
    ("max_ratio", "N", "Times its size a packed body unpacks to.  [default: 200]"),
    ("load_timeout", "DURATION", "Time for a model to load.  [default: 120s]"),
    ("test_timeout", "DURATION", "Time for its test call.  [default: 30s]"),
    ("predict_timeout", "DURATION", "Time for one call of a model.  [default: 60s]"),
    ("warm_versions", "N", "Versions of a model whose replicas stay up.  [default: 2]"),
    ("carrier", "KIND", "To replica processes: unix, zmq or auto (unix).  [default: auto]"),
)


def daemon_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a verb with an option for each setting; None stands for not given."""
    click.option(
        "--public-queries/--no-public-queries",
        default=None,
        help="Let queries in without the token (SERVD_TOKEN guards the admin API then).",
    )(function)
    for name, metavar, text in reversed(_OPTIONS):
        click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=text)(function)
    return function


def force_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a verb with the option to start on a registry that has lost changes."""
    text = "Start on a registry that has lost changes, with what is there."
    return click.option("--force", "is_forced", is_flag=True, help=text)(function)


def as_arguments(settings: Mapping[str, object | None]) -> list[str]:
    """Return the command line that gives these settings to another `servd`."""
    arguments: list[str] = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            arguments.extend((f"--{option}", str(value)))
    return arguments

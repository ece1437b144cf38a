"""The options of `servd deploy` that are about containers. Used by deploy.py."""

from collections.abc import Callable
from typing import Any, Final

import click

from servd.cli.values import Size

_OPTIONS: Final = (
    click.option(
        "--runtime",
        type=click.Choice(["process", "docker"]),
        metavar="HOW",
        help="process, docker.  [default: process, docker with --image]",
    ),
    click.option(
        "--image",
        metavar="REF",
        help="Run TARGET in this image; without TARGET, an image that is a replica by itself.",
    ),
    click.option("--memory", "memory_bytes", type=Size(), metavar="SIZE", help="As in 2g; Docker."),
    click.option("--cpus", type=float, metavar="N", help="As in 1.5; Docker."),
    click.option("--gpus", metavar="WHICH", help="all, a number, device=0,1; Docker."),
)


def container_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the verb with the options."""
    for option in reversed(_OPTIONS):
        option(function)
    return function


def container_settings(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a deployment request that these options decide.

    Raises:
        click.UsageError: they contradict each other.
    """
    from servd.registry.container_limits import check_limits  # noqa: PLC0415 - help does without

    names = ("image", "memory_bytes", "cpus", "gpus")
    given = {name: flags[name] for name in names if flags[name] is not None}
    runtime = flags["runtime"] or ("docker" if flags["image"] else "process")
    if given and runtime == "process":
        option = next(iter(given)).removesuffix("_bytes")
        raise click.UsageError(f"--{option} is for containers: --runtime docker")
    check_limits(flags["memory_bytes"], flags["cpus"], flags["gpus"])
    return {"runtime": runtime, **given}


def check_image_only(flags: dict[str, Any]) -> None:
    """Raise unless an image alone can be deployed with these options.

    Raises:
        click.UsageError: a name is missing, or an option needs a TARGET.
    """
    if flags["image"] is None:
        raise click.UsageError("Missing argument 'TARGET'.")
    if flags["name"] is None:
        raise click.UsageError("--name is needed where an image is deployed without a TARGET")
    for name in ("method", "example", "skip_test", "include"):
        if flags[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} needs a TARGET")

"""`servd build`: a Docker image of a model version, an application, or the front end."""

from pathlib import Path
from typing import Final

import click

from servd.cli.values import POSITIVE
from servd.cli.verb import option, together, verb

addition_options: Final = together(
    option(
        *("--requirements", "FILE"),
        "Packages as this file of pip's says.  [env: SERVD_REQUIREMENTS]",
    ),
    option(
        *("--extra-index", "URL"),
        "A package index that pip asks as well; may be repeated.  [env: SERVD_EXTRA_INDEX]",
        multiple=True,
    ),
    option("--wheel", "FILE", "A package to install as it is; may be repeated.", multiple=True),
    option("--apt", "PKG", "A Debian package to install; may be repeated.", multiple=True),
)
"""Decorates a verb with the flags that say what images get beyond their bundle."""


@verb(
    "build",
    body="servd.cli.build_body:build",
    examples=(
        "servd build iris                       # docker run -p 5000:5000 iris-standalone:1",
        "servd build iris:1 --registry localhost:5000 --push",
    ),
)
@click.argument("target", metavar="[MODEL[:VERSION]|APP]", required=False)
@option(
    "--kind",
    "KIND",
    "replica, standalone, frontend.  [default: standalone for APP, replica for MODEL:VERSION]",
    type=click.Choice(["replica", "standalone", "frontend"]),
)
@option("--tag", "NAME[:TAG]", "The image's name.  [default: after its content]")
@option("--registry", "HOST[:PORT][/PATH]", "What comes before the name.")
@option(
    "--base-image",
    "IMAGE",
    "What it is built on.  [env: SERVD_BASE_IMAGE; default: python:X.Y-slim]",
)
@option("--platform", "OS/ARCH", "For another machine, as linux/arm64.")
@option(
    "--threads",
    "N",
    "Threads of numeric libraries.  [default: as the version was deployed, else 1]",
    type=POSITIVE,
)
@addition_options
@click.option("--push", is_flag=True, help="Push it to its registry.")
@option(
    "--context-only",
    "DIR",
    "Write what it is built from, and build nothing.",
    name="context",
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option("--force", is_flag=True, help="Write the context among files of other origin.")
def command() -> None:
    """Build an image, run it, and give it its name once it has answered its test call.

    An application becomes a standalone image: the query API on port 5000 with the model inside. A
    version becomes a replica image, to which front ends connect. --kind frontend needs no TARGET.
    """

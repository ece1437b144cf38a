"""The flags that say what images get beyond their bundle. Used by `build` and `export-k8s`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from servd.cli.output import Output
from servd.cli.verb import option, together
from servd.config import Config
from servd.imaging.additions import Additions
from servd.imaging.packages import Packages

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
"""Decorates a verb with the flags."""


def take_additions(flags: dict[str, Any], config: Config) -> Additions:
    """Take the flags out of a verb's; what a flag says counts before what a setting does.

    Raises:
        InvalidValueError: a value cannot be built.
    """
    requirements, wheels = flags.pop("requirements"), flags.pop("wheel")
    return Additions(
        requirements=Path(requirements) if requirements else config.requirements,
        extra_index=flags.pop("extra_index") or config.extra_index,
        wheel=tuple(map(Path, wheels)) if wheels else config.wheel,
        apt=flags.pop("apt") or config.apt,
    )


def tell_packages(output: Output, planned: Iterable[Packages]) -> list[str]:
    """Say of each package that no index has what becomes of it; return what was said."""
    said: dict[str, None] = {}
    for packages in planned:
        for note in packages.notes:
            if note not in said:
                output.line(f"note: {note}")
                said[note] = None
        for warning in packages.warnings:
            if warning not in said:
                output.warning(warning)
                said[warning] = None
    return list(said)

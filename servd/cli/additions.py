"""The flags that say what images get beyond their bundle. Used by build.py and export_k8s.py."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from servd.cli.output import Output

if TYPE_CHECKING:
    from servd.config import Config
    from servd.imaging.additions import Additions
    from servd.imaging.packages import Packages

_FLAGS: Final = (
    (
        *("--requirements", "requirements", "FILE", False),
        "Packages as this file of pip's says.  [env: SERVD_REQUIREMENTS]",
    ),
    (
        *("--extra-index", "extra_index", "URL", True),
        "A package index that pip asks as well; may be repeated.  [env: SERVD_EXTRA_INDEX]",
    ),
    ("--wheel", "wheel", "FILE", True, "A package to install as it is; may be repeated."),
    ("--apt", "apt", "PKG", True, "A Debian package to install; may be repeated."),
)


def addition_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a verb with the flags."""
    for flag, name, metavar, is_multiple, text in reversed(_FLAGS):
        click.option(flag, name, metavar=metavar, multiple=is_multiple, help=text)(function)
    return function


def take_additions(flags: dict[str, Any], config: "Config") -> "Additions":
    """Take the flags out of a verb's; what a flag says counts before what a setting does.

    Raises:
        InvalidValueError: a value cannot be built.
    """
    from pathlib import Path  # noqa: PLC0415 - help does without

    from servd.imaging.additions import Additions  # noqa: PLC0415

    given = {name: flags.pop(name) or None for _, name, *_ in _FLAGS}
    requirements = given["requirements"]
    wheels = given["wheel"]
    return Additions(
        requirements=Path(requirements) if requirements else config.requirements,
        extra_index=given["extra_index"] or config.extra_index,
        wheel=tuple(map(Path, wheels)) if wheels else config.wheel,
        apt=given["apt"] or config.apt,
    )


def tell_packages(output: Output, planned: "Iterable[Packages]") -> list[str]:
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

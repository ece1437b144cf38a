"""What images get beyond their bundle, by flags and settings. Used by `build` and `export-k8s`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from servd.cli.output import Output
from servd.config import Config
from servd.imaging.additions import Additions
from servd.imaging.packages import Packages


def take_additions(flags: dict[str, Any], config: Config) -> Additions:
    """Take the flags of `addition_options`; what a flag says counts before what a setting does.

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

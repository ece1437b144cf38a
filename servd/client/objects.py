"""What is deployed that is no file: functions, closures, fitted models. Used by the clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servd.errors import TargetError
from servd.packing.targets import Target, parse_target


@contextmanager
def as_target(target: Any, name: str | None) -> Iterator[Target]:
    """Yield the file that a target is, or that is made of it for as long as it is needed.

    Raises:
        TargetError: it cannot be deployed.
    """
    del name
    if isinstance(target, (str, Path)):
        yield parse_target(str(target))
        return
    raise TargetError(f"a {type(target).__name__} is not something to deploy")

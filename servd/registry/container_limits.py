"""What a replica in a container may use: memory, processors, GPUs. Pure functions.

Used by plan.py to check them, and by launchers/container_options.py.
"""

import re
from typing import Final

from servd.errors import InvalidValueError

ALL_GPUS: Final = -1
MIN_MEMORY_BYTES: Final = 6 * 1024 * 1024
"""The least that Docker takes."""

MAX_CPUS: Final = 1024
_DEVICES: Final = re.compile(r"(?:device=)?([A-Za-z0-9_.:-]+(?:,[A-Za-z0-9_.:-]+)*)")


def parse_gpus(text: str) -> int | tuple[str, ...]:
    """Return how many GPUs a text asks for (`ALL_GPUS`: all), or the names of some.

    It is `all`, a number, or as for Docker `device=0,1` with numbers or UUIDs.

    Raises:
        InvalidValueError: it is none of them.
    """
    if text == "all":
        return ALL_GPUS
    if text.isascii() and text.isdigit() and 0 < int(text[:5]) <= MAX_CPUS:
        return int(text)
    found = _DEVICES.fullmatch(text) if text.startswith("device=") else None
    if found is None:
        raise InvalidValueError(
            f"'{text}' does not say which GPUs", hint="all, a number, or device=0,1"
        )
    return tuple(found[1].split(","))


def check_limits(memory_bytes: int | None, cpus: float | None, gpus: str | None) -> None:
    """Raise unless a container can be given these limits."""
    if memory_bytes is not None and memory_bytes < MIN_MEMORY_BYTES:
        raise InvalidValueError(
            f"{memory_bytes} bytes are too little memory for a container",
            hint="at least 6 MiB; a Python model needs some 64 MiB",
        )
    if cpus is not None and not 0.01 <= cpus <= MAX_CPUS:
        raise InvalidValueError(
            f"{cpus:g} is no number of processors", hint=f"0.01 to {MAX_CPUS}, as in 1.5"
        )
    if gpus is not None:
        parse_gpus(gpus)

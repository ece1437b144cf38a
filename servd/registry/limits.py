"""What a replica may use: memory, processors, threads, devices. Pure functions.

Used by plan.py and the clients to check them, and by the launchers.
"""

import math
import re
from typing import Final

from servd.datatypes import DOCKER, ModelVersion
from servd.errors import InvalidValueError
from servd.quantities import shown_bytes

ALL_GPUS: Final = -1
MIN_MEMORY_BYTES: Final = 6 * 1024 * 1024
"""The least that Docker takes."""

MIN_PROCESS_BYTES: Final = 64 * 1024 * 1024
"""The least in which Python and the runtime start, with a model that is a few lines."""

MAX_MEMORY_BYTES: Final = 2**50
MAX_CPUS: Final = 1024
CPU: Final = "cpu"
CUDA: Final = "cuda"
AUTO: Final = "auto"
_DEVICES: Final = re.compile(r"(?:device=)?([A-Za-z0-9_.:-]+(?:,[A-Za-z0-9_.:-]+)*)")
_CUDA: Final = re.compile(r"cuda(?::([0-9]{1,4}))?")


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


def device_number(device: str) -> int | None:
    """Return the number of a CUDA device that is meant; None: whichever there are, or none.

    Raises:
        InvalidValueError: it is no device.
    """
    if device in (CPU, AUTO):
        return None
    found = _CUDA.fullmatch(device)
    if found is None:
        raise InvalidValueError(
            f"'{device[:60]}' is not a device", hint="cpu, cuda, cuda:N (as in cuda:0) or auto"
        )
    return None if found[1] is None else int(found[1])


def check_limits(
    memory_bytes: int | None, cpus: float | None, gpus: str | None, runtime: str = DOCKER
) -> None:
    """Raise unless a replica of that runtime can be given these limits."""
    if memory_bytes is not None:
        _check_memory(memory_bytes, runtime)
    if cpus is not None and not 0.01 <= cpus <= MAX_CPUS:
        raise InvalidValueError(
            f"{cpus:g} is no number of processors", hint=f"0.01 to {MAX_CPUS}, as in 1.5"
        )
    if gpus is not None:
        parse_gpus(gpus)


def _check_memory(memory_bytes: int, runtime: str) -> None:
    is_contained = runtime == DOCKER
    least = MIN_MEMORY_BYTES if is_contained else MIN_PROCESS_BYTES
    if memory_bytes < least:
        shown = shown_bytes(memory_bytes) if memory_bytes > 0 else f"{memory_bytes} bytes"
        what = "a container" if is_contained else "a replica: Python does not start in it"
        raise InvalidValueError(
            f"{shown} {'is' if memory_bytes else 'are'} too little memory for {what}",
            hint=f"--memory {least // 2**20}MiB or more; a Python model needs some 64 MiB, one "
            "with numpy or scikit-learn some 256 MiB",
        )
    if memory_bytes > MAX_MEMORY_BYTES:
        raise InvalidValueError(
            f"{memory_bytes} bytes are more memory than any machine has",
            hint="a size with a unit, as in --memory 2g or 512MiB",
        )


def check_device(device: str | None, gpus: str | None) -> None:
    """Raise unless it is a device, and said in one way only."""
    if device is None:
        return
    device_number(device)
    if gpus is not None:
        raise InvalidValueError(
            "--device and --gpus say the same in two ways: give one of them",
            hint="--device cuda is one GPU a replica, --gpus is Docker's own word",
        )


def check_threads(threads: int | None) -> None:
    """Raise unless numeric libraries can be told that number of threads."""
    if threads is not None and not 1 <= threads <= MAX_CPUS:
        raise InvalidValueError(
            f"{threads} is no number of threads", hint=f"--threads 1 to {MAX_CPUS}"
        )


def threads_of(version: ModelVersion, processors: int = MAX_CPUS) -> int:
    """Return how many threads each numeric library of a replica takes.

    As many as were asked for, else as many as it may have processors, rounded up, of those that
    there are; else one.
    """
    return version.threads or min(math.ceil(version.cpus or 1), processors)


def shown_memory(size: int) -> str:
    """Return a limit as it was given: "2 GB", "512 MiB"."""
    units = (("TiB", 2**40), ("GiB", 2**30), ("TB", 10**12), ("GB", 10**9), ("MiB", 2**20))
    for unit, each in units:
        if size % each == 0:
            return f"{size // each} {unit}"
    return f"{size / 1024**2:.4g} MiB"


def shown_cpus(cpus: float) -> str:
    """Return a number of processors in words."""
    return "1 processor" if cpus == 1 else f"{cpus:g} processors"


def out_of_memory(memory_bytes: int | None) -> str:
    """Return why a replica has ended that had no more memory; goes on after its name."""
    if memory_bytes is None:
        return "was killed: it ran out of memory"
    return f"was killed: {over_limit(memory_bytes)}"


def over_limit(memory_bytes: int) -> str:
    """Return that a replica has no more memory, with the limit and the flag that it is of."""
    return f"out of memory: its limit is {shown_memory(memory_bytes)} (--memory)"

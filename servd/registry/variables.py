"""Variables of a model's environment: which may be set, and to what. Pure; names values nowhere.

Used by plan.py, and by the clients, which take what has no value from their own environment.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from model_runtime.contract import ALL_THREAD_VARIABLES
from servd.datatypes import Variables
from servd.errors import InvalidValueError

MAX_BYTES: Final = 128 * 1024 - 1
"""The longest NAME=VALUE that Linux gives to a process, less the zero behind it."""
MAX_TOTAL_BYTES: Final = 768 * 1024
"""A Secret of Kubernetes has at most 1 MiB, in base64."""
MAX_COUNT: Final = 500

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_OWNED: Final = frozenset(
    {"PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR", "PYTHONSAFEPATH"}
    | {"PYTHONUNBUFFERED", "__PYVENV_LAUNCHER__"}
)
_OWN_PREFIX: Final = "SERVD_"
_OF_DEVICES: Final = frozenset(
    {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"}
)


def read_variables(given: Iterable[str], environ: Mapping[str, str]) -> Variables:
    """Return what texts as in NAME=VALUE say; a NAME alone has the value that is in `environ`.

    Raises:
        InvalidValueError: one cannot be set; its value is not told.
    """
    found = Variables()
    for text in given:
        name, mark, value = text.partition("=")
        # What has no '=' may be a value that was given without its name: it is not repeated.
        _check_name(name, is_shown=bool(mark))
        if name in found:
            raise InvalidValueError(f"the variable {name} is given twice")
        if not mark and name not in environ:
            raise InvalidValueError(
                f"the variable {name} is given without a value, and is not set here",
                hint=f"--env-var {name}=VALUE, or set it: export {name}=VALUE",
            )
        found[name] = value if mark else environ[name]
    check_variables(found)
    return found


def check_variables(variables: Mapping[str, str]) -> None:
    """Raise unless a replica's environment can have them; no message has a value.

    Raises:
        InvalidValueError: it cannot.
    """
    if len(variables) > MAX_COUNT:
        raise InvalidValueError(f"{len(variables)} variables are too many: at most {MAX_COUNT}")
    total = 0
    for name, value in variables.items():
        _check_name(name)
        total += _checked_size(name, value)
    if total > MAX_TOTAL_BYTES:
        raise InvalidValueError(
            f"the variables have {total} bytes together, and may have {MAX_TOTAL_BYTES}",
            hint="put what is long into a file: --include FILE",
        )


def check_beside(variables: Iterable[str], device: str | None, threads: int | None) -> None:
    """Raise where a variable says what an option says too.

    Raises:
        InvalidValueError: it names both.
    """
    taken = dict.fromkeys(_OF_DEVICES, "--device") if device is not None else {}
    taken |= dict.fromkeys(ALL_THREAD_VARIABLES, "--threads") if threads is not None else {}
    for name in variables:
        if name in taken:
            raise InvalidValueError(
                f"the variable {name} is what {taken[name]} sets: give one of them"
            )


def _checked_size(name: str, value: str) -> int:
    """Return how many bytes a variable has."""
    if "\0" in value:
        raise InvalidValueError(f"the value of {name} holds a zero byte, which no variable can")
    try:
        size = len(name) + 1 + len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(
            f"the value of {name} is not UTF-8", hint="put it into a file: --include FILE"
        ) from None  # it holds the value
    if size > MAX_BYTES:
        raise InvalidValueError(
            f"the value of {name} has {len(value.encode())} bytes; a variable has at most "
            f"{MAX_BYTES} with its name",
            hint="put it into a file: --include FILE",
        )
    return size


def _check_name(name: str, *, is_shown: bool = True) -> None:
    if not _NAME.fullmatch(name):
        shown = f"'{name[:60]}'" if is_shown else "what was given"
        raise InvalidValueError(
            f"{shown} is not a name that a variable can have",
            hint="--env-var NAME=VALUE: at most 100 letters, digits and _, no digit first",
        )
    if name.startswith(_OWN_PREFIX) or name in _OWNED:
        what = "variables that begin with SERVD_ are" if name.startswith(_OWN_PREFIX) else "it is"
        raise InvalidValueError(
            f"the variable {name} cannot be set for a model: {what} the runtime's own",
            hint="give it another name" if name.startswith(_OWN_PREFIX) else "",
        )

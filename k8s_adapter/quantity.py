"""Kubernetes quantities: "250m" of a CPU, "512Mi" of memory."""

import re
from decimal import Decimal
from typing import Final

from k8s_adapter.errors import OptionError

_CPU = re.compile(r"(\d+(?:\.\d{1,3})?|\.\d{1,3})(m?)", re.ASCII)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]i|[kMGT])?", re.ASCII)
_SUFFIXES: Final = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate("kMGT", start=1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGT", start=1)},
}


def parse_cpu(text: str) -> int:
    """Return the thousandths of a CPU that a quantity such as 250m, 1 or 0.5 says.

    Raises:
        OptionError: it is no quantity, or none.
    """
    found = _CPU.fullmatch(text)
    amount = Decimal(found[1]) * (1 if found[2] else 1000) if found else Decimal(0)
    if amount < 1 or amount != int(amount):
        raise OptionError(f"'{text}' is not an amount of CPU", hint="for example: 250m, 0.5 or 2")
    return int(amount)


def parse_memory(text: str) -> int:
    """Return the bytes that a quantity such as 512Mi, 2G or 1073741824 says.

    Raises:
        OptionError: it is no quantity, or none.
    """
    found = _MEMORY.fullmatch(text)
    size = int(Decimal(found[1]) * _SUFFIXES[found[2] or ""]) if found else 0
    if size < 1:
        raise OptionError(
            f"'{text}' is not an amount of memory", hint="for example: 512Mi, 2Gi or 500M"
        )
    return size


def format_cpu(millis: int) -> str:
    """Return the quantity of so many thousandths of a CPU, in its shortest form."""
    return f"{millis // 1000}" if millis % 1000 == 0 else f"{millis}m"


def format_memory(size: int) -> str:
    """Return the quantity of so many bytes, in the largest unit that is exact."""
    for suffix in ("Gi", "Mi", "Ki"):
        if size % _SUFFIXES[suffix] == 0:
            return f"{size // _SUFFIXES[suffix]}{suffix}"
    return str(size)

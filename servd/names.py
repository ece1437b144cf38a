"""The rules for names. Used by the registry, and by http/admin/api.py before it makes anything.

There are two: servd's own rule, and the looser one that Clipper's admin API keeps, because its
clients use names that servd would not give.
"""

import re
from collections.abc import Iterable
from typing import Final

from servd.errors import InvalidNameError

MAX_LENGTH: Final = 63
MAX_LOOSE_LENGTH: Final = 200  # a model's name is a folder's name too, and those end at 255 bytes
RULE: Final = (
    "a name has letters, digits, '-', '_' and '.', begins and ends with a letter, digit or '_', "
    f"and has at most {MAX_LENGTH} characters"
)
LOOSE_RULE: Final = (
    f"A name is part of a URL: 1 to {MAX_LOOSE_LENGTH} letters, digits and -._~!$&'()*+;=@"
)

RESERVED_APPLICATIONS: Final = frozenset(
    {
        *("v1", "v2", "seldon", "api", "endpoints", "admin", "metrics", "health", "livez"),
        *("readyz", "healthz", "ping", "invocations", "predict", "schema.json", "docs"),
        "openapi.json",
    }
)
"""First path segments of the query API that other protocols use."""

RESERVED_MODELS: Final = frozenset({"daemon"})
"""`/api/v1/logs/daemon` is the daemon's own log."""

_STRICT = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9_])?")
# RFC 3986 section 3.3: the characters of a path segment that need no escape, less ',' and ':'.
_LOOSE = re.compile(rf"[A-Za-z0-9._~!$&'()*+;=@-]{{1,{MAX_LOOSE_LENGTH}}}")


def check_application_name(name: str) -> None:
    """Raise InvalidNameError unless servd may make an application of that name."""
    _check_strict("application name", name)
    _check_not_reserved("application name", name, RESERVED_APPLICATIONS)


def check_model_name(name: str) -> None:
    """Raise InvalidNameError unless servd may make a model of that name."""
    _check_strict("model name", name)
    _check_not_reserved("model name", name, RESERVED_MODELS)


def check_version_name(version: str) -> None:
    """Raise InvalidNameError unless servd may make a version of that name."""
    _check_strict("model version", version)


def check_loose_application_name(name: str) -> None:
    """Raise InvalidNameError unless Clipper's admin API may make an application of that name."""
    _check_loose("application name", name)
    _check_not_reserved("application name", name, RESERVED_APPLICATIONS)


def check_loose_version(model: str, version: str, labels: Iterable[str]) -> None:
    """Raise InvalidNameError unless Clipper's admin API may make that model version."""
    for what, text in (("model name", model), ("model version", version)):
        _check_separators(what, text)
        _check_loose(what, text)
    for label in labels:
        _check_separators("label", label)


def _check_strict(what: str, name: str) -> None:
    if _STRICT.fullmatch(name) is None:
        raise InvalidNameError(f"'{name[:100]}' is not a valid {what}", hint=RULE)


def _check_loose(what: str, name: str) -> None:
    # "." and ".." would be folders that exist.
    if _LOOSE.fullmatch(name) is None or name in {".", ".."}:
        raise InvalidNameError(f"Invalid {what} supplied: {name[:100]}. {LOOSE_RULE}")


def _check_separators(what: str, text: str) -> None:
    if "," in text or ":" in text:
        raise InvalidNameError(f"Invalid {what} supplied: {text}. Contains one of: ',', ':'")


def _check_not_reserved(what: str, name: str, reserved: frozenset[str]) -> None:
    if name in reserved:
        raise InvalidNameError(
            f"the {what} '{name}' is reserved",
            hint=f"reserved: {', '.join(sorted(reserved))}",
        )

"""Names that Kubernetes accepts. Used for what the user names and for the objects of each version.

The rules are those of RFC 1123 and RFC 1035 as Kubernetes applies them: labels (one part of a host
name), subdomains (parts joined by dots), and Service names, which have to begin with a letter.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from k8s_adapter.errors import KubeNameError
from k8s_adapter.snapshot import Version

MAX_LABEL: Final = 63
MAX_SUBDOMAIN: Final = 253
LABEL_RULE: Final = (
    "a name has lower-case letters, digits and '-', begins and ends with a letter or digit, "
    f"and has at most {MAX_LABEL} characters (RFC 1123 label)"
)
SERVICE_RULE: Final = (
    "a name has lower-case letters, digits and '-', begins with a letter, ends with a letter or "
    f"digit, and has at most {MAX_LABEL} characters (RFC 1035 label)"
)
SUBDOMAIN_RULE: Final = (
    "a name has lower-case letters, digits, '-' and '.', each part begins and ends with a letter "
    f"or digit, and it has at most {MAX_SUBDOMAIN} characters (RFC 1123 subdomain)"
)

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_HASH_LENGTH: Final = 6

RESERVED: Final = frozenset({"query-frontend"})
"""Names of objects that every export has."""


def is_label(text: str) -> bool:
    """Return whether a text is an RFC 1123 label, as Namespaces and most objects have to be."""
    return _LABEL.fullmatch(text) is not None


def is_service_name(text: str) -> bool:
    """Return whether a text is an RFC 1035 label, as Services have to be."""
    return _SERVICE.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Return whether a text is an RFC 1123 subdomain, as Secrets and hosts have to be."""
    return len(text) <= MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    """Return whether a text may be the value of an object's label."""
    return _LABEL_VALUE.fullmatch(text) is not None


def check_label(what: str, name: str) -> None:
    """Raise KubeNameError unless a text is an RFC 1123 label; `what` says what it names."""
    if not is_label(name):
        raise KubeNameError(what, name, LABEL_RULE, to_label(name))


def check_service_name(what: str, name: str) -> None:
    """Raise KubeNameError unless a text can name a Service."""
    if not is_service_name(name):
        raise KubeNameError(what, name, SERVICE_RULE, to_service_name(name))


def check_subdomain(what: str, name: str) -> None:
    """Raise KubeNameError unless a text is an RFC 1123 subdomain."""
    if not is_subdomain(name):
        raise KubeNameError(what, name, SUBDOMAIN_RULE, to_subdomain(name))


def check_host(host: str) -> None:
    """Raise KubeNameError unless a text can be an Ingress's host; `*.` may stand before it."""
    if not is_subdomain(host.removeprefix("*.")):
        raise KubeNameError("ingress host", host, SUBDOMAIN_RULE, to_subdomain(host))


def to_label(text: str) -> str:
    """Return the RFC 1123 label nearest to a text."""
    dashed = re.sub(r"[^a-z0-9]+", "-", text.lower())
    return dashed[:MAX_LABEL].strip("-") or "servd"


def to_service_name(text: str) -> str:
    """Return the name for a Service that is nearest to a text."""
    label = to_label(text)
    return label if label[0].isalpha() else to_label(f"m-{label}")


def to_subdomain(text: str) -> str:
    """Return the RFC 1123 subdomain nearest to a text."""
    without_scheme = re.sub(r"^[a-z]+://|[/:].*$", "", text.lower())
    parts = (to_label(part) for part in without_scheme.split(".") if re.search(r"[a-z0-9]", part))
    return ".".join(parts)[:MAX_SUBDOMAIN].strip("-.") or "servd"


def to_label_value(text: str) -> str:
    """Return a label's value for a text: itself where allowed, else the nearest with a hash."""
    if is_label_value(text):
        return text
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", text)
    return _with_hash(safe.strip("-_.") or "x", text)


def object_names(versions: Iterable[Version]) -> dict[str, str]:
    """Return the name of each version's objects by its key.

    Where two versions come to the same name, the older one has it and the other one gets a suffix
    of its own, so that a new version never renames the objects of those that run.
    """
    names: dict[str, str] = {}
    taken = set(RESERVED)
    for version in sorted(versions, key=lambda v: (v.created_s, v.key)):
        joined = f"{version.model}-{version.version}"
        name = to_service_name(joined)
        if name in taken or len(joined) > MAX_LABEL:
            name = _with_hash(name, version.key)
        taken.add(name)
        names[version.key] = name
    return dict(sorted(names.items()))


def _with_hash(name: str, text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: MAX_LABEL - _HASH_LENGTH - 1].rstrip('-_.')}-{digest}"

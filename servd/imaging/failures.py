"""What went wrong with an image, in words, with what to do. Pure functions; used by imaging."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from servd.errors import ImageError
from servd.imaging.naming import registry_of

_SHOWN_LINES: Final = 30
_DISK_FULL: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_WRONG_MACHINE: Final = re.compile(
    r"exec format error|no match(?:ing manifest)? for (?:platform|linux)|does not match the "
    r"(?:specified|detected host) platform|no matching manifest|unknown operating system or arch",
    re.IGNORECASE,
)
_NO_IMAGE: Final = re.compile(
    r"pull access denied|manifest (?:for .* )?(?:unknown|not found)|repository .* not found|"
    r"invalid reference format|not found: manifest|requested access to the resource is denied",
    re.IGNORECASE,
)
_UNREACHABLE: Final = re.compile(
    r"dial tcp|no such host|connection refused|i/o timeout|TLS handshake|request canceled|"
    r"Temporary failure in name resolution|context deadline exceeded|EOF",
    re.IGNORECASE,
)
_DENIED: Final = re.compile(r"unauthorized|denied|authentication required|forbidden", re.IGNORECASE)
_NO_INDEX: Final = re.compile(
    r"Failed to establish a new connection|Temporary failure in name resolution|"
    r"Retrying \(Retry\(.*(?:ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError)"
)
_NO_PACKAGE: Final = re.compile(r"No matching distribution found for (\S+)")
_CONFLICT: Final = re.compile(r"ResolutionImpossible|conflicting dependencies")
_NO_PYTHON: Final = re.compile(r"python3: (?:\S+ )?not found|non-zero code: 127")
_DISK_HINT: Final = "the engine's disk is full: docker system df    shows what is on it"
_MACHINE_HINT: Final = (
    "this engine cannot run that architecture: leave --platform out, build on such a machine, or "
    "install its emulation (qemu-user-static)"
)
_INDEX_HINT: Final = (
    "the build cannot reach the network or its package index: give the engine's containers DNS and "
    "a way out; which index pip asks is a setting of the base image"
)
_PACKAGE_HINT: Final = (
    "is {} published for the Python and the platform of {base}, on an index that pip asks? "
    "--extra-index URL has it ask another, --wheel FILE takes a file along, --base-image IMAGE "
    "takes another base"
)
_CONFLICT_HINT: Final = "the packages of the bundle contradict each other: see the lines above"
_PYTHON_HINT: Final = "{base} has no python3: a base image needs Python and pip"
_IMAGE_HINT: Final = (
    "is its name right, and may this machine pull it (docker login)? --base-image IMAGE takes one "
    "that is here: docker images"
)
_NETWORK_HINT: Final = (
    "the engine cannot reach the network; a base image that is here already needs none: "
    "--base-image IMAGE"
)
_MODULE_HINT: Final = (
    "an image has the packages that the model's file imports at its top and those of the pickles "
    "that came with it: import it there and deploy again (--base-image IMAGE may hold more)"
)
_HINTS: Final = (
    (_DISK_FULL, _DISK_HINT),
    (_WRONG_MACHINE, _MACHINE_HINT),
    # pip says next that there is no such package, as if it had been able to ask.
    (_NO_INDEX, _INDEX_HINT),
    (_NO_PACKAGE, _PACKAGE_HINT),
    (_CONFLICT, _CONFLICT_HINT),
    (_NO_PYTHON, _PYTHON_HINT),
    (_NO_IMAGE, _IMAGE_HINT),
    (_UNREACHABLE, _NETWORK_HINT),
)
"""The first pattern that is found in what was said tells what to do."""


def build_failure(
    error: str, base_image: str, instruction: str, output: Sequence[str]
) -> ImageError:
    """Return the error of a build that failed.

    Args:
        error: what the engine said.
        base_image: the image of FROM.
        instruction: the step that failed; empty where none had begun.
        output: what that step has printed.
    """
    text = "\n".join(output[-_SHOWN_LINES:])
    hint = _hint(f"{error}\n{text}", base_image)
    if instruction.startswith("FROM") or not instruction:
        return ImageError(f"the base image {base_image} cannot be used: {error}", hint=hint)
    return ImageError(f"the build failed at {instruction}: {error}", hint=hint, traceback=text)


def wrong_platform(wanted: str, found: str, base_image: str) -> ImageError:
    """Return the error of an image that was built for another platform than was asked for."""
    return ImageError(
        f"{base_image} is here for {found}, so no image for {wanted} can be built on it",
        hint=f"docker pull --platform {wanted} {base_image}, or --base-image of that platform",
    )


def _hint(said: str, base_image: str) -> str:
    for pattern, hint in _HINTS:
        if found := pattern.search(said):
            return hint.format(found[1] if pattern.groups else "", base=base_image)
    return ""


def push_failure(reference: str, error: str) -> ImageError:
    """Return the error of a push that a registry refused; its own words come first."""
    repository = registry_of(reference)
    hint = ""
    if _DENIED.search(error):
        hint = f"log in first: docker login {repository}"
    elif "server gave HTTP response to HTTPS" in error:
        hint = f"add {repository} to the engine's insecure-registries, or give it a certificate"
    elif _UNREACHABLE.search(error):
        hint = f"does a registry answer at {repository}, as seen from the engine?"
    return ImageError(f"{reference} cannot be pushed: {error}", hint=hint)


def is_worth_retrying(error: str) -> bool:
    """Return whether a push may go well the next time: the network or the registry's own fault."""
    is_refused = _DENIED.search(error) or "server gave HTTP response" in error
    is_passing = _UNREACHABLE.search(error) or re.search(r"\b50[0234]\b|received unexpected", error)
    return bool(is_passing and not is_refused)


def load_failure(tag: str, error: Mapping[str, str]) -> ImageError:
    """Return the error of an image whose model does not load; `error` is what the replica said."""
    message = error.get("message") or "it does not say why"
    is_missing = message.startswith("ModuleNotFoundError")
    return trial_failure(
        tag,
        f"its model does not load: {message}",
        error.get("traceback", ""),
        # The replica's own hint is for an environment; what is in an image is decided elsewhere.
        _MODULE_HINT if is_missing else error.get("hint", ""),
    )


def trial_failure(tag: str, reason: str, log: str, hint: str = "") -> ImageError:
    """Return the error of an image that was built and does not answer."""
    return ImageError(f"{tag} was built, but {reason}", traceback=log, hint=hint)

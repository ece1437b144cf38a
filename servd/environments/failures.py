"""What went wrong with an environment, in words, with what to do. Pure; used by the rest of it."""

import re
from pathlib import Path
from typing import Final

from servd.environments.running import Outcome
from servd.errors import ServdError

_SHOWN_LINES: Final = 30
_MAX_WORDS: Final = 500
_TOLD: Final = 3
"""Lines that say why."""
_DISK_FULL: Final = re.compile(
    r"no space left on device|disk quota exceeded|os error 28\b|Errno 28\b", re.IGNORECASE
)
_READ_ONLY: Final = re.compile(
    r"read-only file system|permission denied|os error 30\b", re.IGNORECASE
)
_UNREACHABLE: Final = re.compile(
    r"Failed to establish a new connection|name resolution|dns error|tcp connect error|"
    r"error sending request|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError|"
    r"invalid peer certificate|Network is unreachable|network was disabled|timed out"
)
_DENIED: Final = re.compile(
    r"401 |403 |status code 40[13]|Unauthorized|Forbidden|No credentials|Username for|"
    r"could not read Username|Authentication failed",
)
_NOT_FOUND: Final = re.compile(
    r"No matching distribution found for (?P<pip>\S+)|"
    r"Because there is no version of \S+ and you require|"
    r"Because (?P<uv>\S+) was not found in the (?:package registry|provided package locations)"
)
_CONFLICT: Final = re.compile(
    r"No solution found|ResolutionImpossible|conflicting dependencies|no version of"
)
_HASH: Final = re.compile(
    r"HASHES|Hash mismatch|hash mismatch|in --require-hashes mode", re.IGNORECASE
)
_UNBUILT: Final = re.compile(
    r"Failed to build|build backend|did not run successfully|subprocess-exited-with-error|"
    r"metadata-generation-failed|Failed building wheel|Preparing metadata"
)
_WRONG_LINE: Final = re.compile(
    r"Couldn't parse requirement|Invalid requirement|InvalidRequirement|Expected (?:one of|package)"
)
_NO_COMPILER: Final = re.compile(r"gcc|g\+\+|cc1|Microsoft Visual|cmake|rustc|cargo", re.IGNORECASE)
_NO_GIT: Final = re.compile(r"[Gg]it executable not found|Cannot find command 'git'|No such.*'git'")
_KILLED: Final = 128 + 9
_TELLING: Final = re.compile(r"^\s*(?:ERROR|error|cause):")
_ERROR: Final = re.compile(r"^(\s*)(?:ERROR|error):")
_MARKS: Final = re.compile(r"^\s*(?:ERROR|error|cause):\s*")

_DISK_HINT: Final = (
    "the disk is full: servd env prune removes environments that no version uses; or make room"
)
_INDEX_HINT: Final = (
    "the package index cannot be reached: is the network there? Which index is asked is pip's own "
    "setting (PIP_INDEX_URL, pip.conf); without one: --no-index and --find-links FOLDER in the "
    "requirements"
)
_DENIED_HINT: Final = (
    "the index or repository wants a name and a password: put them in ~/.netrc or pip.conf, or "
    "write ${NAME} in the address and set the variable"
)
_NOT_FOUND_HINT: Final = (
    # What wants a password tells both tools that there is nothing.
    "is the name right, and is there that version for this Python (--python 3.12 takes another)? "
    "An index that wants a name and a password needs them in ~/.netrc or pip.conf"
)
_HINTS: Final = (
    (_DISK_FULL, _DISK_HINT),
    (
        _UNREACHABLE,
        _INDEX_HINT,
    ),
    (
        _DENIED,
        _DENIED_HINT,
    ),
    (
        _HASH,
        "a file is not the one that was locked or pinned by its hash: pin another, or lock anew",
    ),
    (_NO_GIT, "install git, which the repository is fetched with"),
    (_NO_COMPILER, "it has no wheel for this Python and platform, and what compiles it is missing"),
    (
        _UNBUILT,
        "take a version that has a wheel for this Python, or another Python: --python 3.12",
    ),
    (_NOT_FOUND, _NOT_FOUND_HINT),
    (_CONFLICT, "loosen one of the versions that contradict each other"),
    (_WRONG_LINE, "write NAME, NAME==VERSION, or a path"),
    (_READ_ONLY, "give that folder back its rights, or another one: --data-dir DIR"),
)
"""The first that is found in what was said tells what to do."""


class EnvironmentFailedError(ServdError):
    """An environment cannot be had: its requirements, its Python or its building failed."""

    code = "environment_failed"
    status = 422


def failure(doing: str, tool: str, outcome: Outcome, log_path: Path) -> EnvironmentFailedError:
    """Return the error of a builder that failed.

    Args:
        doing: what failed, as a sentence that its last words end.
        tool: what it was done with.
        outcome: how the program ended.
        log_path: where all that it said is.
    """
    hint = _hint(outcome)
    words = _words(outcome)
    return EnvironmentFailedError(
        f"{doing}: {words}",
        hint="; ".join(filter(None, (hint, f"all that {tool} said is in {log_path}"))),
        traceback=_more(tool, outcome),
    )


def _more(tool: str, outcome: Outcome) -> str:
    """Return the last lines, where they say more than the words in which it says why it ended.

    What the tool calls an error goes by its name there, as servd tells of one.
    """
    plain = [line for line in outcome.lines if line.strip()]
    is_all_told = len(plain) <= _TOLD and all(map(_TELLING.search, plain))
    if is_all_told:
        return ""
    return "\n".join(_ERROR.sub(rf"\1{tool}:", line) for line in outcome.lines[-_SHOWN_LINES:])


def _hint(outcome: Outcome) -> str:
    if outcome.status == _KILLED and not _DISK_FULL.search(outcome.text):
        return "it was killed, as the kernel does where memory runs out; try again"
    return next((hint for pattern, hint in _HINTS if pattern.search(outcome.text)), "")


def _words(outcome: Outcome) -> str:
    """Return the words in which a builder says why it ended, on one line."""
    if outcome.status > 128 and not any(map(_TELLING.search, outcome.lines)):
        return f"it was ended by signal {outcome.status - 128}"
    if full := next(filter(_DISK_FULL.search, outcome.lines), None):
        return full.strip()[:_MAX_WORDS]
    told = [_MARKS.sub("", line).strip() for line in outcome.lines if _TELLING.search(line)]
    told = [line for line in told if line and not line.startswith("Ignored the following")]
    if not told:
        told = [line.strip() for line in outcome.lines if line.strip()][-1:]
    return _shortened("; ".join(dict.fromkeys(told[-_TOLD:]))) or f"it ended with {outcome.status}"


def _shortened(text: str) -> str:
    """Return words without the list of all versions there are, and no more than are read."""
    text = re.sub(r"\(from versions: ([^)]{200})[^)]*?([^,)]*)\)", r"(from versions: \1…\2)", text)
    return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"

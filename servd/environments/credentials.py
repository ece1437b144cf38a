"""Names and passwords in addresses of indexes and repositories: for builders, and nobody else.

Used wherever what was wanted, or what a builder has said, is written down or shown.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "****"
_USERINFO: Final = re.compile(r"(?<=://)([^/\s'\"@]*)@")
"""What stands before the host of an address. A password with a slash is no address to anybody."""
_VARIABLE: Final = re.compile(r"(\$\{[A-Z_][A-Z0-9_]*\})(:\$\{[A-Z_][A-Z0-9_]*\})?")
_SHORTEST: Final = 4
"""Of what is looked for by itself: shorter ones are in many words."""
_USERS: Final = frozenset({"git", "hg"})
"""Names that repositories are asked by, and that say nothing."""


class Secrets:
    """What stands before hosts in some texts; `hide` takes it out of others."""

    def __init__(self, texts: Iterable[str]) -> None:
        words: set[str] = set()
        for text in texts:
            for found in _USERINFO.finditer(text):
                words |= _words(found[1])
        # The longest first: one may be part of another.
        self._words = sorted(words, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text without them, in an address or by themselves."""
        text = without(text)
        for word in self._words:
            text = text.replace(word, HIDDEN)
        return text


def of_environment(environ: Mapping[str, str]) -> list[str]:
    """Return the variables in which addresses with names and passwords may stand."""
    return [text for text in environ.values() if "://" in text and "@" in text]


def without(text: str) -> str:
    """Return a text whose addresses have no names and passwords; ${VARIABLES} are left.

    Of `git+ssh://git@host` the name is part of the address.
    """
    return _USERINFO.sub(lambda found: f"{found[1]}@" if _tells_nothing(found[1]) else "", text)


def has_any(text: str) -> bool:
    """Tell whether an address in a text has a name or a password."""
    return without(text) != text


def _tells_nothing(userinfo: str) -> bool:
    return userinfo in _USERS or _VARIABLE.fullmatch(userinfo) is not None


def _words(userinfo: str) -> set[str]:
    """Return what of a name and a password is to be hidden wherever it stands."""
    if _tells_nothing(userinfo):
        return set()
    name, is_pair, password = userinfo.partition(":")
    # A name alone is a token; beside a password it is in paths and lines that have a use.
    words = {password, unquote(password)} if is_pair and password else {name, unquote(name)}
    return {word for word in words if len(word) >= _SHORTEST and not word.startswith("${")}

"""Pip's own settings, from its files and variables, and the same for uv. Used by tools.py.

Files are read in the order in which pip reads them, later ones win, variables win over all. uv
reads none of them: what it is told here makes it ask the indexes that pip would ask. Where a
variable of uv's says something else already, that stays.
"""

import configparser
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_SECTIONS: Final = ("global", "install", ":env:")
_PREFIX: Final = "PIP_"
_TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
_MANY: Final = {
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT",
}
"""Settings that list several things, which pip and uv take with blanks between."""
_COMMAS: Final = frozenset({"UV_FIND_LINKS"})
"""Those which uv takes with commas between."""
_ONE: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "keyring-provider": "UV_KEYRING_PROVIDER",
}
_WHOLE: Final = {
    ("only-binary", ":all:"): "UV_NO_BUILD",
    ("no-binary", ":all:"): "UV_NO_BINARY",
}
_SAYS_IT: Final = {
    "UV_DEFAULT_INDEX": ("UV_INDEX_URL", "UV_INDEX"),
    "UV_EXTRA_INDEX_URL": ("UV_INDEX",),
}
"""Other variables by which the same is said to uv."""
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")
_OF_KEYRING: Final = frozenset({"disabled", "subprocess"})
"""The ways that uv knows to ask a keyring, of pip's."""


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings by the long names of its options."""
    found: dict[str, str] = {}
    for path in _files(environ):
        found |= _read(path)
    for name, text in environ.items():
        if name.startswith(_PREFIX) and text.strip() and name != "PIP_CONFIG_FILE":
            found[name.removeprefix(_PREFIX).lower().replace("_", "-")] = text.strip()
    return found


def for_uv(told: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that say to uv what pip has been told."""
    wanted = {
        variable: joined(variable, [_rooted(name, each) for each in told[name].split()])
        for name, variable in _MANY.items()
        if name in told
    }
    wanted |= {variable: told[name].strip() for name, variable in _ONE.items() if name in told}
    if wanted.get("UV_KEYRING_PROVIDER", "disabled") not in _OF_KEYRING:
        wanted["UV_KEYRING_PROVIDER"] = "subprocess"  # pip's `auto` and `import`
    wanted |= {name: "1" for (each, text), name in _WHOLE.items() if told.get(each) == text}
    if _is_true(told.get("pre", "")):
        wanted["UV_PRERELEASE"] = "allow"
    # pip takes the best version of all its indexes, uv by itself the first that has any.
    wanted["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    kept = {name: text for name, text in wanted.items() if not _is_said(name, environ)}
    return kept | _proxies(told.get("proxy", ""), environ)


def joined(variable: str, values: Iterable[str]) -> str:
    """Return several values as a variable of uv's lists them."""
    return ("," if variable in _COMMAS else " ").join(values)


def asks_no_index(told: Mapping[str, str]) -> bool:
    """Tell whether pip has been told to ask no index, for which uv has a flag and no variable."""
    return _is_true(told.get("no-index", ""))


def _rooted(name: str, value: str) -> str:
    """Return a place as uv takes it: a path that does not depend on where it runs."""
    is_path = name in ("find-links", "constraint") and "://" not in value
    return str(Path(value).expanduser().absolute()) if is_path else value


def _is_said(name: str, environ: Mapping[str, str]) -> bool:
    return any(environ.get(each) for each in (name, *_SAYS_IT.get(name, ())))


def _proxies(proxy: str, environ: Mapping[str, str]) -> dict[str, str]:
    if not proxy or any(environ.get(name) for name in _PROXIES):
        return {}
    return {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}


def _is_true(text: str) -> bool:
    return text.strip().lower() in _TRUE


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield pip's files, each after those that it wins over."""
    own = environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:
        return
    for folder in reversed(environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)):
        yield Path(folder or "/etc/xdg", "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    home = environ.get("HOME", "")
    if home:
        yield Path(home, ".pip", "pip.conf")
    config = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    if config:
        yield Path(config, "pip", "pip.conf")
    if prefix := environ.get("VIRTUAL_ENV"):
        yield Path(prefix, "pip.conf")
    if own:
        yield Path(own)


def _read(path: Path) -> dict[str, str]:
    """Return what a file says to `pip install`; a file that is none says nothing."""
    parser = configparser.RawConfigParser()
    with suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser.read_string(path.read_text("utf-8"))
    found: dict[str, str] = {}
    for section in _SECTIONS:
        if parser.has_section(section):
            found |= {
                name.lower().replace("_", "-"): " ".join(value.split())
                for name, value in parser.items(section)
                if value and value.strip()
            }
    return found

"""The file behind a `file:` URI, as SQLite opens one. Used by discover.py and the finder."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote


def path_of(text: str) -> str | None:
    """Return the path in a `file:` URI; None where a text is none, or one of another machine.

    https://www.sqlite.org/uri.html: a path may be relative, parameters follow a question mark, and
    a database in memory has a name only.
    """
    scheme, colon, rest = text.partition(":")
    if scheme.lower() != "file" or not colon:
        return None
    path, _, parameters = rest.partition("#")[0].partition("?")
    if "mode=memory" in parameters.split("&"):
        return None
    if path.startswith("//"):
        host, _, path = path[2:].partition("/")
        if host not in ("", "localhost"):
            return None
        path = f"/{path}"
    path = unquote(path)
    return path if path and PurePosixPath(path).name != ":memory:" else None

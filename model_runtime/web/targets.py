"""What a web application needs beside its code, as far as it can be asked. Used by discover.py.

Frameworks open templates and import some modules at the first request only, and by names that
stand in no code: what they would open is told, so that it comes along.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from model_runtime.manifest import WSGI
from model_runtime.web.kinds import kind_of

_RUNNING: Final = ("uvicorn", "httptools", "uvloop", "websockets")
_BRIDGE: Final = ("a2wsgi",)


def told(app: Any) -> dict[str, Any]:
    """Return what there is to say of an application, once it can answer any request."""
    kind = str(kind_of(app))
    _import_views()
    return {
        "kind": kind,
        "signature": None,
        "is_told": False,
        "as_lists": False,
        "folders": [str(path) for path in dict.fromkeys(_folders(app)) if path.is_dir()],
        "runs_with": [*_RUNNING, *(_BRIDGE if kind == WSGI else ())],
    }


def _import_views() -> None:
    """Have Django import what answers requests, which it does at the first of them."""
    django = sys.modules.get("django.conf")
    if django is not None and django.settings.configured:
        with suppress(AttributeError):
            import_module("django.urls").get_resolver().url_patterns  # noqa: B018


def _folders(app: Any) -> Iterator[Path]:
    """Give the folders of templates and static files that an application names."""
    # Flask and its blueprints, Quart as well.
    parts = [app, *getattr(app, "blueprints", {}).values()]
    for part in parts:
        root = getattr(part, "root_path", None)
        for name in ("template_folder", "static_folder"):
            folder = getattr(part, name, None)
            if isinstance(root, str) and isinstance(folder, str):
                yield Path(root, folder)
    django = sys.modules.get("django.conf")
    if django is not None and django.settings.configured:
        for engine in getattr(django.settings, "TEMPLATES", ()):
            yield from map(Path, engine.get("DIRS", ()))
        yield from map(Path, getattr(django.settings, "STATICFILES_DIRS", ()))
        for config in import_module("django.apps").apps.get_app_configs():
            yield from (Path(config.path, name) for name in ("templates", "static"))

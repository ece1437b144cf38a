"""Where a script has what saves and loads bundles from."""

from __future__ import annotations

from model_runtime.bento.elsewhere import (
    load_bento_service_api,
    load_bento_service_class,
    load_from_dir,
    save_to_dir,
)

__all__ = [
    "load_bento_service_api",
    "load_bento_service_class",
    "load_from_dir",
    "save_to_dir",
]

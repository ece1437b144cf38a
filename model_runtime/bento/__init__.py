"""Services as BentoML 0.13 has them: what a saved bundle's code needs to be loaded.

In a replica, `import bentoml` and `import servd.bento` in such code give this (aliases.py). In the
user's own program servd.bento gives the same, and what saves and deploys. Modules have the names
that they have in BentoML 0.13.
"""

from __future__ import annotations

from model_runtime.bento.elsewhere import load, load_from_dir, save, save_to_dir
from model_runtime.bento.service import (
    BentoService,
    api_decorator,
    artifacts_decorator,
    env_decorator,
    ver_decorator,
    web_static_content_decorator,
)

__version__ = "0.13.1"
"""The version of BentoML whose layout bundles have."""

api = api_decorator
artifacts = artifacts_decorator
env = env_decorator
ver = ver_decorator
web_static_content = web_static_content_decorator

__all__ = [
    "BentoService",
    "__version__",
    "api",
    "artifacts",
    "env",
    "load",
    "load_from_dir",
    "save",
    "save_to_dir",
    "ver",
    "web_static_content",
]

"""Services as BentoML 0.13 has them: `from servd.bento import BentoService, api, env, artifacts`.

Called by users' scripts, where the package's name is all that changes; modules are named as in
BentoML 0.13. What a replica needs as well is in model_runtime/bento: here is what saves a service
(saving.py) and what deploys it to a Clipper cluster (clipper/). May import the client, and
what packs and finds. docs/bentoml.md.
"""

from model_runtime.bento import (
    __version__,
    api,
    artifacts,
    env,
    ver,
    web_static_content,
)
from servd.bento.saved_bundle import load_from_dir, save_to_dir
from servd.bento.saving import save
from servd.bento.service.definition import BentoService

load = load_from_dir

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

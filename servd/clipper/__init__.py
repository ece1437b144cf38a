"""Clipper's Python interface: `from servd.clipper import ClipperConnection, …` in the place of
`from clipper_admin import …`.

Called by users' scripts. The modules have the names that they have in clipper_admin 0.4.1, as
scripts import from them. May import the client and what makes bundles; what a replica runs is
model_runtime/clipper_model.py.
"""

import logging

from servd.clipper import deployers
from servd.clipper.clipper_admin import CLIPPER_TEMP_DIR, ClipperConnection
from servd.clipper.docker.docker_container_manager import DockerContainerManager
from servd.clipper.exceptions import ClipperException, UnconnectedException
from servd.clipper.kubernetes.kubernetes_container_manager import KubernetesContainerManager
from servd.clipper.local_container_manager import LocalContainerManager
from servd.clipper.version import __registry__, __version__

# Scripts show what Clipper logs without a word about logging; who has set it up is not disturbed.
logging.basicConfig(
    format="%(asctime)s %(levelname)-8s [%(filename)s:%(lineno)d] %(message)s",
    datefmt="%y-%m-%d:%H:%M:%S",
    level=logging.INFO,
)

__all__ = [
    "CLIPPER_TEMP_DIR",
    "ClipperConnection",
    "ClipperException",
    "DockerContainerManager",
    "KubernetesContainerManager",
    "LocalContainerManager",
    "UnconnectedException",
    "__registry__",
    "__version__",
    "deployers",
]

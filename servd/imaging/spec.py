"""What an image is to be: `ImageSpec`, and where things lie in it. Used by all of imaging."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from model_runtime import manifest
from model_runtime.contract import REPLICA_PORT
from servd.datatypes import Application, ModelVersion, RouteRule
from servd.imaging.additions import NONE, Additions
from servd.imaging.naming import Kind

HOME: Final = "/opt/servd"
BUNDLE: Final = f"{HOME}/bundle"
LIBRARY: Final = f"{HOME}/lib"
WHEELS: Final = f"{HOME}/wheels"
APPLICATIONS: Final = f"{HOME}/applications.json"
REGISTRY: Final = "/etc/servd/registry"
UID: Final = 10001

STANDALONE_PORT: Final = 5000
FRONTEND_PORT: Final = 1337

_MINOR: Final = re.compile(r"(\d+\.\d+)(\.|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """One image to build.

    A replica and a standalone image need `version` and `bundle_dir`; `applications` are what a
    standalone image answers for, the first of them at paths without a name too, and `routes` their
    further paths. `platform` is Docker's word (`linux/arm64`), None the engine's own. `threads` is
    for numeric libraries. `also` are further names that the image gets. `additions` are packages
    beyond what the bundle says; `environments` is the folder in which those of models are made.
    `variables` are what its model is tried with; they are not in the image.
    """

    kind: Kind
    tag: str
    base_image: str
    platform: str | None = None
    version: ModelVersion | None = None
    applications: tuple[Application, ...] = ()
    routes: tuple[RouteRule, ...] = ()
    bundle_dir: Path | None = None
    threads: int = 1
    also: tuple[str, ...] = ()
    additions: Additions = NONE
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    environments: Path | None = None

    @property
    def port(self) -> int:
        """The one port that the image exposes."""
        ports = {"replica": REPLICA_PORT, "standalone": STANDALONE_PORT}
        return ports.get(self.kind, FRONTEND_PORT)

    def example(self) -> Any:
        """Return an input that the model has answered, or that its deployer gave; else None."""
        signature = self.version.signature if self.version else None
        if signature is not None and signature.has_example:
            return signature.example
        return manifest.read(self.bundle_dir).example if self.bundle_dir else None


def default_base_image(python: str) -> str:
    """Return the base image of a bundle that was made with a Python such as "3.11.7"."""
    found = _MINOR.match(python)
    return f"python:{found[1] if found else '3.11'}-slim"

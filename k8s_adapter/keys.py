"""What front ends and replicas know each other by, and front ends their clients: the Secrets.

And what of them a pod gets. Used by what puts a shape together. Replicas that servd makes listen
with TLS streams; images that are replicas by themselves speak the protocol of docs/protocol.md over
ZeroMQ.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from k8s_adapter import resources
from k8s_adapter.identity import Identity, Object
from k8s_adapter.options import Options
from k8s_adapter.pods import SECRET_MODE
from k8s_adapter.snapshot import Version

TOKEN_SECRET: Final = "servd-token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """One way to be known: its files are in the Secret `servd-NAME`, mounted at /etc/servd/NAME.

    `scheme` is what addresses begin with that are reached by it. Neither end gets the other's
    secret file.
    """

    name: str
    scheme: str
    replica_files: tuple[str, ...]
    frontend_files: tuple[str, ...]

    @property
    def secret(self) -> str:
        """The name of the Secret."""
        return f"servd-{self.name}"

    @property
    def folder(self) -> str:
        """Where the files are in a pod."""
        return f"/etc/servd/{self.name}"

    @property
    def argument(self) -> list[str]:
        """What a program of servd's is told."""
        return [f"--{self.name}", self.folder]

    def volume(self, files: tuple[str, ...]) -> Object:
        """Return the volume with the files that a pod needs, and no others."""
        items = [{"key": name, "path": name} for name in files]
        secret = {"secretName": self.secret, "defaultMode": SECRET_MODE, "items": items}
        return {"name": self.name, "secret": secret}

    def mount(self) -> Object:
        """Return the mount of `volume`."""
        return {"name": self.name, "mountPath": self.folder, "readOnly": True}

    def texts(self, options: Options) -> Mapping[str, str]:
        """Return the texts of the files; none where the export has no such keys."""
        return options.tls if self is TLS else options.curve

    def annotation(self, options: Options) -> dict[str, str]:
        """Return what makes pods be replaced that have read other texts."""
        return {f"servd.io/{self.name}-checksum": _checksum(self.texts(options))}


TLS: Final = Keys(
    name="tls",
    scheme="tls",
    replica_files=("replica.crt", "replica.key", "frontend.crt"),
    frontend_files=("replica.crt", "frontend.crt", "frontend.key"),
)
CURVE: Final = Keys(
    name="curve",
    scheme="tcp",
    replica_files=("replica.public", "replica.secret", "frontend.public"),
    frontend_files=("replica.public", "frontend.public", "frontend.secret"),
)


def keys_of(version: Version, options: Options) -> Keys | None:
    """Return by what a version's replicas are known; None: by nothing, on ZeroMQ."""
    wanted = CURVE if version.is_prebuilt else TLS
    return wanted if wanted.texts(options) else None


def keys_in_use(versions: tuple[Version, ...], options: Options) -> list[Keys]:
    """Return all by which front ends know the replicas of some versions."""
    found = {keys_of(version, options) for version in versions}
    return [keys for keys in (CURVE, TLS) if keys in found]


def scheme_of(version: Version, options: Options) -> str:
    """Return what a version's replicas listen with."""
    keys = keys_of(version, options)
    return keys.scheme if keys else CURVE.scheme


def token_objects(options: Options) -> list[Object]:
    """Return the Secret with the token that queries need; nothing where they need none."""
    if not options.token:
        return []
    identity = Identity(name=TOKEN_SECRET, namespace=options.namespace)
    return [resources.secret(identity, {"token": options.token})]


def token_variables(options: Options) -> list[Object]:
    """Return the variable by which a container gets the token."""
    reference = {"secretKeyRef": {"name": TOKEN_SECRET, "key": "token"}}
    return [{"name": "SERVD_TOKEN", "valueFrom": reference}] if options.token else []


def token_annotation(options: Options) -> dict[str, str]:
    """Return what makes pods be replaced that have read another token."""
    return {"servd.io/token-checksum": _checksum({"token": options.token})} if options.token else {}


def _checksum(texts: Mapping[str, str]) -> str:
    """Return an annotation's value that changes with a Secret."""
    return hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode()).hexdigest()

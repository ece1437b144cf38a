"""CURVE keys: what encrypts ZeroMQ over tcp and tells replicas and frontends from strangers.

Docker replicas, exported manifests and front-end mode use the same four files: `replica.public`,
`replica.secret`, `frontend.public`, `frontend.secret`, each one Z85 text (rfc.zeromq.org/32).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zmq

from model_runtime.keys import KeyFileError, read_key
from servd.errors import ConfigError

REPLICA_FILES = ("replica.secret", "frontend.public")
"""What a replica needs. It never gets the frontend's secret."""

FRONTEND_FILES = ("replica.public", "frontend.public", "frontend.secret")
"""What a frontend needs. It never gets the replica's secret."""


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """A frontend's keys as Z85: its own pair, and the one replica key that it believes."""

    replica_public: bytes
    frontend_public: bytes
    frontend_secret: bytes


def generate() -> dict[str, str]:
    """Return the texts of four new key files by name."""
    keys: dict[str, str] = {}
    for role in ("replica", "frontend"):
        public, secret = zmq.curve_keypair()
        keys[f"{role}.public"] = public.decode("ascii")
        keys[f"{role}.secret"] = secret.decode("ascii")
    return keys


def write_keys(folder: Path) -> None:
    """Write four new key files that only the owner may read, replacing those there are."""
    write_key_files(folder, {name: f"{text}\n" for name, text in generate().items()})


def write_key_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files that only the owner may read, by their names, replacing those there are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / name
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)


def read_keys(folder: Path) -> CurveKeys:
    """Return the keys of a frontend in a folder.

    Raises:
        ConfigError: a file is missing or is no key; the message names it.
    """
    try:
        replica, public, secret = (read_key(folder / name) for name in FRONTEND_FILES)
    except KeyFileError as error:
        raise ConfigError(
            str(error), hint=f"the folder must hold {', '.join(FRONTEND_FILES)}"
        ) from error
    return CurveKeys(replica_public=replica, frontend_public=public, frontend_secret=secret)


def keys_for(address: str, folder: Path) -> CurveKeys | None:
    """Return the keys for the replica at an address; None on ipc, which its folder guards."""
    return read_keys(folder) if address.startswith("tcp://") else None

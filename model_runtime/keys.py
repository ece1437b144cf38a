"""The keys of replicas that other machines reach over CURVE, and the files they are in.

Used by __main__.py and by servd. A replica that nobody else can reach has none, and no ZeroMQ.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from model_runtime.older import dataclass

KEY_BYTES: Final = 40
"""Length of a key as Z85 text."""

_LETTERS: Final = (
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)
_VALUES: Final = {letter: value for value, letter in enumerate(_LETTERS)}


class KeyFileError(Exception):
    """A key file is missing, or is no key."""


@dataclass(frozen=True, slots=True)
class ReplicaKeys:
    """The replica's own secret key and the public key of the frontends it admits, as Z85."""

    replica_secret: bytes
    frontend_public: bytes


def read_replica_keys(folder: Path) -> ReplicaKeys:
    """Return the keys in the files replica.secret and frontend.public of a folder.

    Raises:
        KeyFileError: a file is missing, or is no key.
    """
    return ReplicaKeys(
        replica_secret=read_key(folder / "replica.secret"),
        frontend_public=read_key(folder / "frontend.public"),
    )


def read_key(path: Path) -> bytes:
    """Return the Z85 text in a key file.

    Raises:
        KeyFileError: it is missing, or is no key.
    """
    try:
        text = path.read_bytes().strip()
        key = decoded(text) if len(text) == KEY_BYTES else b""
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError):
        key = b""
    if len(key) != 32:  # the bytes of a Curve25519 key
        raise KeyFileError(f"{path} is no CURVE key: {KEY_BYTES} characters of Z85")
    return text


def decoded(text: bytes) -> bytes:
    """Return the bytes of a Z85 text (rfc.zeromq.org/spec/32), five letters for four of them.

    Raises:
        KeyError: a letter is none of Z85's.
        ValueError: it is cut, or five letters stand for more than four bytes hold.
    """
    if len(text) % 5:
        raise ValueError("a Z85 text has five letters for four bytes")
    numbers = []
    for at in range(0, len(text), 5):
        number = 0
        for letter in text[at : at + 5]:
            number = number * 85 + _VALUES[letter]
        if number >> 32:
            raise ValueError("five letters of a Z85 text stand for more than four bytes")
        numbers.append(number)
    return struct.pack(f">{len(numbers)}I", *numbers)

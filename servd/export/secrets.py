"""The keys and the token that an export holds. The keys are made once, so that exports are alike.

They are in the data directory: frontends and replicas of one cluster have to have the same ones.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from servd.config import Config
from servd.errors import StoreError

KEY_FILES: Final = ("frontend.public", "frontend.secret", "replica.public", "replica.secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The texts of the CURVE key files by name, and the token that queries need, if any."""

    curve: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)


def export_secrets(config: Config) -> Secrets:
    """Return the secrets of a data directory's exports; its keys are made at the first.

    Raises:
        StoreError: the keys cannot be kept or read.
    """
    folder = config.data_dir / "k8s" / "curve"
    try:
        if not folder.is_dir():
            _make_keys(folder)
        curve = {name: (folder / name).read_text("ascii") for name in KEY_FILES}
    except OSError as error:
        raise StoreError(
            f"the keys of exports cannot be kept in {folder}: {error.strerror}",
            hint="make room or give the folder back its permissions; "
            "without the same keys a new export replaces all pods",
        ) from error
    return Secrets(curve=curve, token=None if config.public_queries else config.token)


def _make_keys(folder: Path) -> None:
    """Write new keys; the folder appears with all of them or not at all."""
    from servd.curve import write_keys  # noqa: PLC0415 - needs ZeroMQ, once in a data directory

    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".curve-"))
    try:
        write_keys(draft)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another export was first, and its keys are as good
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)

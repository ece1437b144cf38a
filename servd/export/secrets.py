"""The keys and the token that an export holds. The keys are made once, so that exports are alike.

They are in the data directory: frontends and replicas of one cluster have to have the same ones.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from servd.config import Config
from servd.datatypes import RegistryState
from servd.errors import StoreError

CERTIFICATE_FILES: Final = ("frontend.crt", "frontend.key", "replica.crt", "replica.key")
KEY_FILES: Final = ("frontend.public", "frontend.secret", "replica.public", "replica.secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The texts of key files by name, and the token that queries need, if any.

    `tls` are certificates and their keys, for replicas that servd makes; `curve` are keys for
    images that are replicas by themselves. `variables` are those of versions, by "model:version".
    """

    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    curve: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


def export_secrets(
    config: Config, state: RegistryState | None = None, *, is_new: bool = False
) -> Secrets:
    """Return the secrets of a data directory's exports; its keys are made at the first.

    Args:
        config: of the data directory.
        state: its registry, with the values of variables.
        is_new: whether to make other keys, for this export and those after it.

    Raises:
        StoreError: the keys cannot be kept or read.
    """
    folder = config.data_dir / "k8s"
    return Secrets(
        tls=_kept(folder / "tls", CERTIFICATE_FILES, _write_certificates, is_new=is_new),
        curve=_kept(folder / "curve", KEY_FILES, _write_keys, is_new=is_new),
        token=None if config.public_queries else config.token,
        variables={str(key): values for key, values in state.variables.items()} if state else {},
    )


def _kept(
    folder: Path, names: tuple[str, ...], write: Callable[[Path], None], *, is_new: bool
) -> dict[str, str]:
    """Return the texts of a folder's files, which are made where there is none."""
    try:
        if is_new or not folder.is_dir():
            _make(folder, write)
        return {name: (folder / name).read_text("ascii") for name in names}
    except OSError as error:
        raise StoreError(
            f"the keys of exports cannot be kept in {folder}: {error.strerror}",
            hint="make room or give the folder back its permissions; "
            "without the same keys a new export replaces all pods",
        ) from error


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    """Make new files; the folder appears with all of them or not at all."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        write(draft / "new")
        if folder.is_dir():
            folder.rename(draft / "old")
        (draft / "new").rename(folder)
    except OSError:
        if not folder.is_dir():  # else another export was first, and its keys are as good
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_certificates(folder: Path) -> None:
    from servd.carriers.certificates import write_certificates  # noqa: PLC0415 - once in a data directory

    write_certificates(folder)


def _write_keys(folder: Path) -> None:
    from servd.carriers.curve import write_keys  # noqa: PLC0415 - needs ZeroMQ, once in a data directory

    write_keys(folder)

"""What there is to build images of: from the running daemon, or from its data directory.

Used by build.py. With the daemon down the registry is read and nothing is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from model_runtime.bundle import BundleFormatError, unpack
from servd.bundles import MAX_BYTES, verify
from servd.client import segment
from servd.datatypes import Application, ModelVersion, RegistryState
from servd.errors import BundleError, DaemonNotRunningError
from servd.temporary import temporary_folder

if TYPE_CHECKING:
    from servd.cli.session import Session
    from servd.client import AdminClient


class BuildState:
    """The registry's state, and the bundles it names. `client` is None where no daemon runs."""

    def __init__(
        self, state: RegistryState, bundles_dir: Path, client: "AdminClient | None"
    ) -> None:
        self.state = state
        self._bundles_dir = bundles_dir
        self._client = client

    @contextmanager
    def bundle(self, version: ModelVersion) -> Iterator[Path | None]:
        """Yield the folder of a version's bundle for as long as it is needed; None for none.

        Raises:
            BundleError: the daemon does not have it, or it is damaged.
        """
        digest = version.bundle
        if digest is None:
            yield None
        elif _is_readable(self._bundles_dir / digest):
            verify(self._bundles_dir / digest, digest)
            yield self._bundles_dir / digest
        else:
            with temporary_folder("bundle") as temporary:
                yield self._download(version, digest, temporary)

    def _download(self, version: ModelVersion, digest: str, folder: Path) -> Path:
        bundle = folder / "bundle"
        missing = BundleError(
            f"the bundle of {version.id} is not in {self._bundles_dir}",
            hint="start the daemon that has it, or give its --data-dir",
        )
        if self._client is None:
            raise missing
        try:
            with self._client.reading(f"/bundles/{segment(digest)}") as tar:
                unpack(tar, bundle, MAX_BYTES)
        except DaemonNotRunningError as error:
            raise missing from error
        except BundleFormatError as error:
            raise BundleError(f"the daemon's bundle {digest}: {error}") from error
        return bundle


def find_state(session: "Session") -> BuildState:
    """Return what the daemon says there is, or what its data directory says if it is down.

    Raises:
        DaemonNotRunningError: no daemon runs, and the data directory holds no registry.
    """
    config = session.config
    client = session.client()
    try:
        return BuildState(_from_daemon(client), config.bundles_dir, client)
    except DaemonNotRunningError:
        if session.admin_url or not config.database.is_file():
            raise
    from servd.store import check_whole, read_file  # noqa: PLC0415 - only where no daemon runs
    from servd.witness import Witness  # noqa: PLC0415

    check_whole(config.database, Witness(config.registry_note, lambda: 0))
    return BuildState(read_file(config.database), config.bundles_dir, None)


def _from_daemon(client: "AdminClient") -> RegistryState:
    apps, models = client.get("/applications"), client.get("/models")
    versions = [
        msgspec.convert(row, ModelVersion, strict=False)
        for model in models
        for row in model["versions"]
    ]
    return RegistryState(
        applications={row["name"]: msgspec.convert(row, Application) for row in apps},
        versions={version.id: version for version in versions},
        current={m["name"]: m["current_version"] for m in models if m["current_version"]},
        links={row["name"]: tuple(row["linked_models"]) for row in apps},
    )


def _is_readable(folder: Path) -> bool:
    try:
        return (folder / "model.json").is_file()
    except OSError:
        return False

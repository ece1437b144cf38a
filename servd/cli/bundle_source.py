"""Where a bundle that is built into an image comes from: the data directory, or the daemon.

Used by build.py and export_images.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model_runtime.bundle import BundleFormatError, unpack
from servd.client.admin import segment
from servd.datatypes import ModelVersion
from servd.deploying.bundles import MAX_BYTES, verify
from servd.errors import BundleError, DaemonNotRunningError
from servd.system.temporary import temporary_folder

if TYPE_CHECKING:
    from servd.client.admin import AdminClient


class BundleSource:
    """The bundles that versions name: those in `bundles_dir`, else those of the daemon."""

    def __init__(self, bundles_dir: Path, client: "AdminClient") -> None:
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
        try:
            with self._client.reading(f"/bundles/{segment(digest)}") as tar:
                unpack(tar, bundle, MAX_BYTES)
        except DaemonNotRunningError as error:
            raise BundleError(
                f"the bundle of {version.id} is not in {self._bundles_dir}",
                hint="start the daemon that has it, or give its --data-dir",
            ) from error
        except BundleFormatError as error:
            raise BundleError(f"the daemon's bundle {digest}: {error}") from error
        return bundle


def _is_readable(folder: Path) -> bool:
    try:
        return (folder / "model.json").is_file()
    except OSError:
        return False

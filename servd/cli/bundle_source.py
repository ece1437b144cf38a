"""What an image is made of: a bundle, of the data directory or the daemon, and a base image.

Used by build_body.py and export_images.py.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_runtime import manifest
from model_runtime.bundle import BundleFormatError, unpack
from servd.client.admin import AdminClient
from servd.client.calls import segment
from servd.datatypes import ModelVersion
from servd.deploying.bundles import MAX_BYTES, verify
from servd.errors import BundleError, DaemonNotRunningError
from servd.imaging.environment import python_of
from servd.imaging.spec import default_base_image
from servd.system.temporary import temporary_folder


class BundleSource:
    """The bundles that versions name: those in `bundles_dir`, else those of the daemon."""

    def __init__(self, bundles_dir: Path, client: AdminClient) -> None:
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


def frontend_base(given: str | None) -> str:
    """Return what a front end is built on: what runs there is this servd, so by this Python."""
    return given or default_base_image(".".join(map(str, sys.version_info[:2])))


def model_base(version: ModelVersion, bundle: Path | None, given: str | None) -> str:
    """Return what a version's image is built on.

    Raises:
        BundleError: the version's files are not there.
    """
    # What its files were mounted into has what they need.
    if base := version.image or given:
        return base
    try:
        return default_base_image(python_of(manifest.read(bundle or Path())))
    except (BundleFormatError, OSError) as error:
        raise BundleError(
            f"the files of {version.id} are not in {bundle}",
            hint="build where the daemon runs, or give its --data-dir",
        ) from error


def _is_readable(folder: Path) -> bool:
    try:
        return (folder / "model.json").is_file()
    except OSError:
        return False

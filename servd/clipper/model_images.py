"""What stands for the images of models where nobody runs Docker: their files by their tags.

A tag is made by `build_model` and deployed by `deploy_model`, maybe by another process. Its files
are kept until then; afterwards the daemon has them. Used by the managers of this package.
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import model_runtime
from model_runtime.bundle import FILES_NAME, MANIFEST_NAME, BundleFormatError
from model_runtime.manifest import Manifest, encode
from servd.clipper.exceptions import ClipperException
from servd.clipper.image_builds import ModelBuild
from servd.clipper.saved_objects import MODULES, read_beside
from servd.datatypes import InputType
from servd.environments.interpreter import own
from servd.environments.tools import find_uv
from servd.finding.needs import versions_of
from servd.packing.archive import Packed
from servd.packing.pickles import packages_of_pickle

RUNNER: Final = "clipper_model.py"
"""The file of a bundle that a replica loads: a copy of the model runtime's."""
_SOURCE: Final = Path(model_runtime.__file__).with_name(RUNNER)
_DEPLOYED: Final = "deployed.json"
_BASE: Final = "base-image"
PACKAGES: Final = "packages"
"""The folder of packages that were installed for a model."""
_PIP_TIMEOUT_S: Final = 600.0
_NAME: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*\])?\s*$")
_PLAIN_IMAGES: Final = re.compile(r"(^|/)(noop|sum)-container(:|$)")
"""Images of Clipper's that answer without a function."""
_OF_CLIPPER: Final = re.compile(r"(^|/)[a-z0-9-]+-container(:|$)")


def is_known(build: ModelBuild) -> bool:
    """Return whether a replica can run what an image is made of without running the image."""
    path = Path(build.data_path)
    return (path / "func.pkl").is_file() or bool(_PLAIN_IMAGES.search(build.base_image))


def is_foreign(base_image: str) -> bool:
    """Return whether a base image is one's own, and not one of Clipper's, which are not needed."""
    return base_image not in ("", "default") and not _OF_CLIPPER.search(base_image)


@dataclass(frozen=True, slots=True)
class ModelImages:
    """The images that are kept in a folder."""

    folder: Path

    def build(self, build: ModelBuild) -> None:
        """Keep the files of an image under its tag, in the place of what was there.

        Raises:
            ClipperException: the data cannot be read, or a package cannot be had.
        """
        place = self._place(build.tag)
        shutil.rmtree(place, ignore_errors=True)
        files = place / FILES_NAME
        source = Path(build.data_path)
        try:
            place.mkdir(mode=0o700, parents=True)
            if source.is_dir():
                shutil.copytree(source, files, symlinks=False)
            else:
                files.mkdir()
                shutil.copy2(source, files)
            shutil.copyfile(_SOURCE, files / RUNNER)
            (place / _BASE).write_text(build.base_image, "utf-8")
        except OSError as error:
            raise ClipperException(
                f"The model data in {build.data_path} cannot be copied to {place}: "
                f"{error.strerror or error}"
            ) from error
        _install(_missing(build.packages), files / PACKAGES)

    def has(self, tag: str) -> bool:
        """Return whether an image of that tag was built here."""
        return self._place(tag).is_dir()

    def base(self, tag: str) -> str:
        """Return what an image was built on."""
        try:
            return (self._place(tag) / _BASE).read_text("utf-8")
        except OSError:
            return ""

    def packed(self, tag: str, input_type: str) -> Packed:
        """Return the bundle of an image whose model takes inputs of that type.

        Raises:
            ClipperException: there is no such image, or its files are gone.
        """
        place = self._place(tag)
        files = place / FILES_NAME
        if not files.is_dir():
            raise ClipperException(
                f"There is no image {tag}: build_model makes it"
                + (", and the files of one that was deployed are not kept" if self.has(tag) else "")
            )
        try:
            manifest = encode(_manifest(files, input_type))
            members = [
                (f"{FILES_NAME}/{path.relative_to(files).as_posix()}", path)
                for path in _files_below(files)
            ]
            return Packed.of([*members, (MANIFEST_NAME, manifest)])
        except (OSError, BundleFormatError) as error:
            raise ClipperException(f"The image {tag} cannot be deployed: {error}") from error

    def digest(self, tag: str, input_type: str) -> str | None:
        """Return the bundle that an image became when it was deployed; None: it was not yet."""
        try:
            deployed = json.loads((self._place(tag) / _DEPLOYED).read_text())
        except (OSError, ValueError):
            return None
        digest: str | None = deployed.get(input_type)
        return digest

    def on_deployed(self, tag: str, input_type: str, digest: str) -> None:
        """Note that the daemon has the files of an image now, and give them up here."""
        place = self._place(tag)
        (place / _DEPLOYED).write_text(json.dumps({input_type: digest}))
        shutil.rmtree(place / FILES_NAME, ignore_errors=True)

    def _place(self, tag: str) -> Path:
        return self.folder / quote(tag, safe="")


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _manifest(files: Path, input_type: str) -> Manifest:
    beside = read_beside(files)
    # Numbers are given as arrays, whether or not the function itself imports what makes them.
    packages = versions_of(["numpy"]) if InputType.parse(input_type).item_bytes else {}
    packages |= beside.packages
    for path in sorted(files.glob("*.pkl")):
        packages |= packages_of_pickle(path)
    return Manifest(
        loader="python",
        file=RUNNER,
        kind="function",
        object="predict",
        input_type=input_type,
        # Clipper tries nothing: a function may want inputs that nobody can guess.
        skip_test=True,
        python=beside.python or platform.python_version(),
        packages=packages,
        sys_path=(".", *(f"{MODULES}/{each}" for each in beside.sys_path), PACKAGES),
        cwd="." if beside.cwd is None else f"{MODULES}/{beside.cwd}",
        folders=(PACKAGES, MODULES, *(f"{MODULES}/{each}" for each in beside.folders)),
    )


def _missing(wanted: Iterable[str]) -> list[str]:
    """Return the packages that are not here already; one with a version is installed in any case.

    Raises:
        ClipperException: one is no text.
    """
    listed = list(wanted)
    for each in listed:
        if not isinstance(each, str):
            raise ClipperException(f"pkgs_to_install has names of packages, not {each!r}")
    return [each for each in listed if not _is_installed(each)]


def _is_installed(requirement: str) -> bool:
    plain = _NAME.match(requirement)
    if plain is None:
        return False
    try:
        importlib.metadata.distribution(plain[1])
    except importlib.metadata.PackageNotFoundError:
        # Some come under several names, as xgboost does by way of xgboost-cpu.
        return plain[1].replace("-", "_") in importlib.metadata.packages_distributions()
    return True


def _install(packages: list[str], folder: Path) -> None:
    """Install packages into a folder of the image.

    Raises:
        ClipperException: pip cannot; the message has its last words.
    """
    if not packages:
        return
    done: Any = subprocess.run(
        [*_installer(packages), "--quiet", "--target", str(folder), *packages],
        capture_output=True,
        text=True,
        timeout=_PIP_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise _NotInstalledError(packages, said)


def _installer(packages: list[str]) -> list[str]:
    """Return what installs packages for this interpreter: environments of tools have no pip.

    Raises:
        ClipperException: there is neither pip nor uv.
    """
    if own().has_module("pip"):
        return [sys.executable, "-m", "pip", "install"]
    if found := find_uv(os.environ, lambda _line: None):
        return [str(found[0]), "pip", "install", "--python", sys.executable]
    raise _NotInstalledError(packages, f"{sys.prefix} has no pip, and there is no uv")


class _NotInstalledError(ClipperException):
    def __init__(self, packages: list[str], why: str) -> None:
        super().__init__(
            f"{', '.join(packages)} cannot be installed for the model: {why}\n"
            "What to do: install it where servd runs, and leave pkgs_to_install out"
        )

"""Makes the bundle of a deployment: the files a replica loads and model.json. Used by the CLI."""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_runtime import manifest as manifests
from model_runtime.bundle import FILES_NAME, BundleFormatError, digest_of, pack_to
from model_runtime.manifest import Manifest
from servd import names
from servd.errors import TargetError
from servd.targets import PICKLE_ENDINGS, Found, Target, find, packages_of_pickle

_RESERVED: Final = names.RESERVED_APPLICATIONS | names.RESERVED_MODELS


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """What the flags of `servd deploy` say about the bundle; None: not given.

    `load_timeout_s` is how long the file may take to load when it is looked at.
    """

    input_type: str | None = None
    method: str | None = None
    example: Any = None
    skip_test: bool = False
    include: tuple[str, ...] = ()
    load_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """A bundle that can be built: checked, nothing written yet."""

    target: Target
    found: Found
    manifest: Manifest
    files: tuple[Path, ...]

    @property
    def description(self) -> str:
        """What is in it, for people: `func.py + 1 local module (helpers.py)`."""
        others = [path.name for path in self.files if path != self.target.path]
        modules = [name for name in others if name.endswith(".py")]
        text = self.target.path.name
        if self.found.summary:
            text += f" ({self.found.summary})"
        if modules:
            text += f" + {_count(modules, 'local module')} ({_listing(modules)})"
        data = [name for name in others if not name.endswith(".py")]
        if data:
            text += f" + {_count(data, 'file')} ({_listing(data)})"
        return text


def plan_bundle(target: Target, options: BundleOptions, cwd: Path) -> BundlePlan:
    """Find out what a target needs and return the plan of its bundle.

    Raises:
        TargetError: it cannot be deployed; the message says why.
    """
    found = find(target, options.load_timeout_s)
    if options.method and found.kind == "function":
        raise TargetError("--method is for classes and pickled models, not for functions")
    included = _included(options.include, found.root, (cwd, target.path.parent))
    packages = _packages_of_pickles(included) | found.packages
    try:
        manifest = _manifest(target, found, options, packages)
    except BundleFormatError as error:
        raise TargetError(str(error)) from error
    return BundlePlan(target, found, manifest, tuple(sorted({*found.files, *included})))


def _packages_of_pickles(paths: Iterable[Path]) -> dict[str, str]:
    pickles = (path for path in sorted(paths) if path.suffix in PICKLE_ENDINGS)
    return {name: pin for path in pickles for name, pin in packages_of_pickle(path).items()}


def _manifest(
    target: Target, found: Found, options: BundleOptions, packages: dict[str, str]
) -> Manifest:
    return Manifest(
        loader="pickle" if found.kind == "pickle" else "python",
        file=target.path.relative_to(found.root).as_posix(),
        kind=found.kind,
        object=found.object,
        method=options.method or "predict",
        input_type=options.input_type or found.input_type or "doubles",
        as_lists=found.as_lists,
        example=options.example,
        skip_test=options.skip_test,
        python=found.python,
        packages=packages,
        sys_path=found.sys_path,
    )


def build(plan: BundlePlan, folder: Path) -> str:
    """Write the bundle into an empty folder and return its digest.

    Raises:
        TargetError: a file cannot be read.
    """
    try:
        for path in plan.files:
            copy = folder / FILES_NAME / path.relative_to(plan.found.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        manifests.write(plan.manifest, folder)
        return digest_of(folder)
    except OSError as error:
        raise TargetError(f"{error.filename} cannot be copied: {error.strerror}") from error


def pack(folder: Path, tar: Path) -> int:
    """Write the tar of a built bundle and return its size in bytes."""
    with tar.open("wb") as file:
        pack_to(folder, file)
        return file.tell()


def choose_name(plan: BundlePlan) -> tuple[str, str]:
    """Return the model's name where none was given: the object's, or the file's for a pickle.

    With it comes why it is another than that, or an empty text.
    """
    stem = plan.target.path.stem
    wanted = plan.found.object or stem
    name = _clean_name(wanted)
    if name in _RESERVED:
        # A function is often called predict, which is a path of the query API.
        of_file = _clean_name(stem)
        return (f"{name}-model" if of_file in _RESERVED else of_file), f"'{wanted}' is reserved"
    return name, ("" if name == wanted else f"'{wanted}' breaks the rules")


def _clean_name(name: str) -> str:
    """Return the nearest name that the naming rules allow (servd/names.py)."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[: names.MAX_LENGTH].strip("-.")
    return cleaned or "model"


def _included(patterns: Sequence[str], root: Path, folders: Sequence[Path]) -> set[Path]:
    """Return the files that the patterns match in the first folder where they match any."""
    found: set[Path] = set()
    for pattern in patterns:
        matches = _matches(pattern, folders)
        if not matches:
            raise TargetError(f"--include {pattern} matches no file")
        outside = [path for path in matches if not path.is_relative_to(root)]
        if outside:
            raise TargetError(f"--include {pattern}: {outside[0]} is outside the project {root}")
        found |= matches
    return found


def _matches(pattern: str, folders: Sequence[Path]) -> set[Path]:
    for folder in folders:
        try:
            paths = list(folder.glob(pattern))
        except (NotImplementedError, ValueError) as error:
            raise TargetError(f"--include {pattern}: {error}") from error
        files = {file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])}
        matches = {file.resolve() for file in files if file.is_file()}
        if matches:
            return matches
    return set()


def _count(names: Sequence[str], noun: str) -> str:
    return f"{len(names)} {noun}" if len(names) == 1 else f"{len(names)} {noun}s"


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown}, …"

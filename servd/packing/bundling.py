"""Makes the bundle of a deployment: the files a replica loads and model.json. Used by the CLI."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from model_runtime import manifest as manifests
from model_runtime.annotations.callables import Callee
from model_runtime.annotations.kind import UnclearError
from model_runtime.annotations.overrides import settled, with_columns, without_columns
from model_runtime.bundle import (
    FILES_NAME,
    LOCK_NAME,
    MANIFEST_NAME,
    BundleFormatError,
    digest_of,
)
from model_runtime.manifest import ASGI, LITSERVE, WEB_KINDS, Manifest
from servd import names
from servd.environments.interpreter import own
from servd.errors import TargetError
from servd.finding.data import files_below, leads_back
from servd.finding.hints import failure_hint
from servd.finding.needs import Place
from servd.packing.archive import Packed
from servd.packing.bentos import find_saved
from servd.packing.choice import EnvironmentOptions
from servd.packing.environment import Settled, Workshop, settle
from servd.packing.kinds import find
from servd.packing.made import find_made
from servd.packing.pickles import PICKLE_ENDINGS, packages_of_pickle
from servd.packing.targets import Asked, Found, Target
from servd.quantities import counted, shown_bytes

_USUAL_TYPES: Final = {
    "service": "any",
    LITSERVE: "any",
    "pickle": manifests.AUTO,
    "file": manifests.AUTO,
    "folder": manifests.AUTO,
    "function": "doubles",
    "class": "doubles",
    **dict.fromkeys(WEB_KINDS, "any"),
}
"""What a model takes of which neither its deployer nor its code says anything."""
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
    schema: dict[str, Any] | None = None
    extra: str | None = None
    concurrency: int | None = None
    output: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    load_timeout_s: float = 120.0
    loader: str | None = None
    trust: tuple[str, ...] = ()
    architecture: str | None = None
    task: str | None = None
    environment: EnvironmentOptions = field(default_factory=EnvironmentOptions)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def asked(self) -> Asked:
        """What is said of how a target is loaded and called."""
        return Asked(
            method=self.method or "predict",
            parameters=self.parameters,
            loader=self.loader,
            trust=self.trust,
            architecture=self.architecture,
            task=self.task,
            timeout_s=self.load_timeout_s,
        )


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """A bundle that can be built: checked, nothing written yet."""

    target: Target
    found: Found
    manifest: Manifest
    files: tuple[Path, ...]
    environment: Settled = field(default_factory=lambda: Settled(interpreter=own()))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What may go wrong, or may not be what was meant."""
        first = self.environment.remarks
        rest = (each for each in self.found.remarks if not any(map(_begins(each), first)))
        return (*first, *rest)

    @property
    def contents(self) -> list[dict[str, Any]]:
        """The names of its files in the bundle, and their bytes, for programs."""
        name_of = self.found.layout.name_of
        return [
            {"name": name_of(path), "bytes": _size(self.source_of(path))} for path in self.files
        ]

    def source_of(self, path: Path) -> Path:
        """Return where the content of one of its files lies."""
        return self.target.content if path == self.target.path else path

    def failure_hint(self, message: str, cwd: Path) -> str:
        """Return what to do about a failed load, where what it lacks lies in the project."""
        return failure_hint(message, self.found.project, cwd, frozenset(self.files))

    @property
    def description(self) -> str:
        """What is in it, for people: `func.py + 1 local module (helpers.py)`."""
        others = [path for path in self.files if path != self.target.path]
        modules = [path.name for path in others if path.suffix == ".py"]
        text = self.target.path.name
        if self.found.summary:
            text += f" ({self.found.summary})"
        if modules:
            text += f" + {counted(len(modules), 'local module')} ({_listing(modules)})"
        data = [path for path in others if path.suffix != ".py"]
        if data:
            size = shown_bytes(sum(map(_size, data)))
            names = [path.name for path in data]
            text += f" + {counted(len(names), 'file')} ({_listing(names)}; {size})"
        return text


def _begins(text: str) -> Callable[[str], bool]:
    """Return what tells of a longer remark that it says the same, and more."""
    return lambda other: other.startswith(text)


def plan_bundle(
    target: Target, options: BundleOptions, cwd: Path, workshop: Workshop | None = None
) -> BundlePlan:
    """Find out what a target needs and return the plan of its bundle.

    In `workshop` its environment is made where it gets a new one; without, it is for servd's own.

    Raises:
        TargetError: it cannot be deployed; the message says why.
        ServdError: its environment cannot be had.
    """
    included = _included(options.include, (cwd, target.path.parent))
    place = Place(cwd=cwd, included=included, variables=options.variables)
    environment = Settled(interpreter=own())
    if workshop is not None:
        environment = settle(target, options.environment, place, options.asked, workshop)
        place = replace(place, interpreter=environment.interpreter)
    found = _find(target, options, place)
    _check_options(target, found, options)
    data = [path for path in found.files if path != target.path]
    packages = _packages_of_pickles(data, place) | found.packages
    try:
        manifest = _manifest(target, found, options, packages)
        manifest = replace(manifest, environment=environment.told)
    except BundleFormatError as error:
        raise TargetError(str(error)) from error
    return BundlePlan(target, found, manifest, found.files, environment)


def _check_options(target: Target, found: Found, options: BundleOptions) -> None:
    """Refuse options that say nothing of what the target turned out to be.

    Raises:
        TargetError: there is one; the message says which.
    """
    if options.method and (found.kind == "function" or found.method is not None):
        what = "functions" if found.kind == "function" else "services: PATH:api names an API"
        raise TargetError(f"--method is for classes and pickled models, not for {what}")
    for flag, given, taken in (
        ("class", options.architecture, found.architecture),
        ("task", options.task, found.task),
    ):
        if given is not None and taken is None:
            what = found.summary or f"a {found.kind}"
            raise TargetError(
                f"--{flag} says nothing of {target.path.name}, which is {what}",
                hint=f"leave --{flag} out",
            )
    takes_parameters = found.kind in ("class", LITSERVE) or found.architecture or found.task
    if options.parameters and not takes_parameters:
        raise TargetError("--param is for classes: nothing else is made with parameters")
    if found.kind in WEB_KINDS:
        _check_web(target, found, options)


def _find(target: Target, options: BundleOptions, place: Place) -> Found:
    if target.bento is not None:
        return find_saved(target, target.bento, options.input_type, options.schema, place)
    made = target.made
    if made is not None and made.kind != "pickle":
        return find_made(target, made, place)
    return find(target, options.load_timeout_s, place, options.asked)


def _check_web(target: Target, found: Found, options: BundleOptions) -> None:
    """Refuse what says something of inputs, which a web application has none of.

    Raises:
        TargetError: it names the option.
    """
    given = {
        "input-type": options.input_type,
        "method": options.method,
        "example": options.example,
        "columns": options.schema,
        "extra-columns": options.extra,
        "output": options.output,
        # Of an ASGI application it has its own.
        "concurrency": options.concurrency if found.kind == ASGI else None,
    }
    for name, value in given.items():
        if value is not None:
            what = f"{target.path.name}:{found.object} is a web application ({found.kind.upper()})"
            raise TargetError(
                f"--{name} is for models, and {what}",
                hint=f"leave --{name} out: it is sent its requests as they come",
            )


def _packages_of_pickles(paths: Iterable[Path], place: Place) -> dict[str, str]:
    pickles = (path for path in sorted(paths) if path.suffix in PICKLE_ENDINGS)
    return {name: pin for path in pickles for name, pin in packages_of_pickle(path, place).items()}


def _manifest(
    target: Target, found: Found, options: BundleOptions, packages: dict[str, str]
) -> Manifest:
    return Manifest(
        loader=found.loader,
        file=found.layout.name_of(found.file or target.path),
        kind="seldon" if _takes_messages(found, options) else found.kind,
        parameters=options.parameters,
        object=found.object,
        method=found.method or options.method or "predict",
        **_inputs(found, options),
        example=options.example,
        skip_test=options.skip_test,
        python=found.python,
        packages=packages,
        sys_path=found.sys_path,
        cwd=found.cwd,
        folders=found.folders,
        schema=found.schema or options.schema,
        extra=options.extra,
        concurrency=options.concurrency,
        output=options.output,
        trust=found.trust,
        architecture=found.architecture,
        task=found.task,
    )


def _takes_messages(found: Found, options: BundleOptions) -> bool:
    """Tell whether a class is called with Seldon's messages: unless its inputs are described."""
    described = (options.input_type, options.schema, options.extra, options.method)
    return found.is_seldon and all(each is None for each in described)


def _inputs(found: Found, options: BundleOptions) -> dict[str, Any]:
    """Return what the manifest says of inputs.

    Raises:
        TargetError: what the deployer says of them and what the code says cannot both be true.
    """
    if _takes_messages(found, options):
        return {"input_type": "any"}
    if found.input_type is not None:
        return {"input_type": found.input_type}
    usual = options.input_type or _USUAL_TYPES[found.kind]
    if found.signature is None:
        return {"input_type": usual, "as_lists": found.as_lists}
    callee = Callee(signature=found.signature, is_told=found.is_told, as_lists=found.as_lists)
    try:
        callee = settled(
            callee, found.object or "", options.input_type, options.schema, options.extra
        )
        signature = with_columns(callee, options.example).signature
        if signature.input_type == "rows" and signature.fields is None:
            raise without_columns(found.object or "")
    except UnclearError as error:
        raise TargetError(error.message, hint=error.hint) from error
    is_known = callee.is_told or options.input_type is not None
    return {
        "input_type": callee.signature.input_type if is_known else usual,
        "call": callee.signature.call,
        "as_lists": callee.as_lists,
    }


def build(plan: BundlePlan, folder: Path) -> str:
    """Write the bundle into an empty folder and return its digest.

    Raises:
        TargetError: a file cannot be read.
    """
    try:
        for path in plan.files:
            copy = folder / FILES_NAME / plan.found.layout.name_of(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(plan.source_of(path), copy)
        if plan.environment.lock is not None:
            (folder / LOCK_NAME).write_text(plan.environment.lock.text, "utf-8")
        manifests.write(plan.manifest, folder)
        return digest_of(folder)
    except OSError as error:
        raise TargetError(f"{error.filename} cannot be copied: {error.strerror}") from error


def packed(plan: BundlePlan) -> Packed:
    """Return the bundle of a plan, of the files where they lie.

    Raises:
        TargetError: a file cannot be read.
    """
    try:
        files: list[tuple[str, Path | bytes]] = [
            (f"{FILES_NAME}/{plan.found.layout.name_of(path)}", plan.source_of(path))
            for path in plan.files
        ]
        if plan.environment.lock is not None:
            files.append((LOCK_NAME, plan.environment.lock.text.encode()))
        return Packed.of([*files, (MANIFEST_NAME, manifests.encode(plan.manifest))])
    except OSError as error:
        raise TargetError(f"{error.filename} cannot be read: {error.strerror}") from error


def choose_name(plan: BundlePlan) -> tuple[str, str]:
    """Return the model's name where none was given: the object's, or the file's for a pickle.

    With it comes why it is another than that, or an empty text.
    """
    stem = plan.target.path.stem
    if plan.found.name is not None:
        return plan.found.name, ""
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


def _included(patterns: Sequence[str], folders: Sequence[Path]) -> frozenset[Path]:
    """Return the files that the patterns match in the first folder where they match any.

    They keep the names by which they were asked for, also where these are links.

    Raises:
        TargetError: a pattern matches nothing, or a link that leads nowhere.
    """
    found: set[Path] = set()
    for pattern in patterns:
        matches = _matches(pattern, folders)
        if not matches:
            raise TargetError(f"--include {pattern} matches no file")
        for path in sorted(matches):
            if path.is_symlink() and not path.exists():
                where = path.readlink()
                raise TargetError(
                    f"--include {pattern}: {path} is a link to {where}, which is not there"
                )
        found |= {path for path in matches if path.is_file()}
    return frozenset(found)


def _matches(pattern: str, folders: Sequence[Path]) -> set[Path]:
    for folder in folders:
        try:
            # Dots are taken out first: the names of what is found are to lie below the folder.
            clean = os.path.normpath(pattern)
            paths = _glob(folder, clean)
        except (NotImplementedError, ValueError) as error:
            raise TargetError(f"--include {pattern}: {error}") from error
        matches = {
            Path(os.path.normpath(file))
            for path in paths
            for file in (files_below(path) if path.is_dir() else [path])
            if not leads_back(path)
        }
        matches = {path for path in matches if "__pycache__" not in path.parts}
        if matches:
            return matches
    return set()


def _glob(folder: Path, pattern: str) -> list[Path]:
    """Return what a pattern matches; a path below the folder may be absolute."""
    if os.path.isabs(pattern):  # noqa: PTH117
        path = Path(pattern)
        # The first part that is a pattern ends the folder that is known.
        known = next((up for up in (path, *path.parents) if "*" not in str(up)), path)
        inner = path.relative_to(known).as_posix()
        return [known] if inner == "." and os.path.lexists(known) else list(known.glob(inner))
    plain = folder / pattern
    return [plain] if os.path.lexists(plain) else list(folder.glob(pattern))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the copy will say so


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown}, …"

"""What `servd deploy` is pointed at: `file.py:name`, `file.py`, a file or a folder of a model.

What it is, and what it needs, kinds.py finds out; it is used by bundling.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from model_runtime.annotations.callables import Callee
from model_runtime.signature import Signature
from servd.errors import TargetError, did_you_mean
from servd.finding.layout import Layout
from servd.packing import saved_bundle, services
from servd.packing.saved_bundle import SavedBundle

FORMS: Final = (
    "deploy file.py:function, file.py:Class, a model in a file or a folder (servd deploy --help), "
    f"or a folder that BentoML has saved (with a {saved_bundle.DESCRIPTION})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An object of a running program, written for its deployment.

    `content` is the file that holds it. `kind` is what it counts as (model_runtime/manifest.py),
    `callee` how it is called, where it says so. `modules` are what it names, `loaded` where the
    program has them from; `texts` may be names of files that it opens.
    """

    content: Path
    kind: str
    name: str
    modules: tuple[str, ...]
    loaded: dict[str, Path]
    texts: tuple[str, ...] = ()
    callee: Callee | None = None
    is_seldon: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A file, and the name of an object in it where one was given.

    Of an object of a running program (`made`) the path is only where its file would be. Of a saved
    service of BentoML (`bento`) it is that of its code, the object one of its APIs; of a service
    that is loaded to be seen the object is the service, `api` one of its APIs, and `shown` how the
    user knows it.
    """

    path: Path
    object: str | None
    made: Made | None = None
    bento: SavedBundle | None = None
    api: str | None = None
    shown: str | None = None

    @property
    def is_code(self) -> bool:
        """Whether it is a Python file."""
        return self.path.suffix == ".py"

    @property
    def content(self) -> Path:
        """The file that holds it."""
        return self.path if self.made is None else self.made.content


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the deployer says of how a target is loaded and called.

    `method` is what is called of a class, which is made with `parameters`. `loader` is the format
    of a file or folder that could be of several, `trust` the types that it may have in it.
    `architecture` is what weights are put into, as in "file.py:Class", `task` what a model of
    several uses is used for.
    """

    method: str = "predict"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    loader: str | None = None
    trust: tuple[str, ...] = ()
    architecture: str | None = None
    task: str | None = None
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a target turned out to be.

    `files` are absolute paths, under the names by which they were found; `layout` says where they
    lie in the bundle. `sys_path`, `cwd` and `folders` (which may be empty) are folders of the
    bundle. `project` is the folder that the target belongs to. `method` is what is called, `name`
    what the model is called, `input_type` what it takes and `schema` an input's, each where the
    target itself says so. `signature` is how a function or a class says that it is called,
    `is_told` whether it says so itself; a class that `is_seldon` is written for Seldon Core. Of a
    folder `file` is the one that tells what it is. `trust` are the types that may be loaded,
    `architecture` is what weights are put into, `task` what the model is used for.
    """

    project: Path
    layout: Layout
    files: tuple[Path, ...]
    kind: str
    loader: str = "python"
    object: str | None
    sys_path: tuple[str, ...] = (".",)
    cwd: str = "."
    folders: tuple[str, ...] = ()
    signature: Signature | None = None
    is_told: bool = False
    as_lists: bool = False
    is_seldon: bool = False
    row_items: int | None = None
    python: str = ""
    packages: dict[str, str]
    remarks: tuple[str, ...] = ()
    summary: str = ""
    method: str | None = None
    name: str | None = None
    input_type: str | None = None
    schema: dict[str, Any] | None = None
    file: Path | None = None
    trust: tuple[str, ...] = ()
    architecture: str | None = None
    task: str | None = None


def parse_target(text: str) -> Target:
    """Return the file and the object that a TARGET names.

    Raises:
        TargetError: it has none of the forms, or there is no such file.
    """
    file, colon, name = text.rpartition(":")
    if (service := _of_service(text)) is not None:
        return service
    if not colon or not file.endswith(".py"):
        file, name = text, ""
    path = Path(file)
    # A link keeps its name: data stores keep what it leads to under another, without an ending.
    target = Target(path.parent.resolve() / path.name, name or None)
    if _is_there(target.path):
        _check_kind(file, target)
        return target
    if not path.suffix or ":" in path.name:
        raise TargetError(f"'{text}' is not something to deploy: there is no such file", hint=FORMS)
    raise _missing(file, target.path)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text that is no name
        return False


def _check_kind(shown: str, target: Target) -> None:
    """Raise TargetError of what is neither a file nor a folder of a model."""
    path = target.path
    if path.is_file() or (path.is_dir() and not target.is_code):
        return
    what = "is not a file" if path.is_dir() else "is not a file, but a pipe, a socket or a device"
    raise TargetError(f"{shown} {what}", hint=FORMS)


def _of_service(text: str) -> Target | None:
    """Return the target that a service of BentoML is, of which an API may be named; else None."""
    file, colon, api = text.rpartition(":")
    for folder, name in ((Path(text), None), (Path(file), api or None)):
        if name is not None and not colon:
            continue
        if saved_bundle.is_saved(folder):
            bundle = saved_bundle.read(folder.resolve())
            return Target(bundle.module, name, bento=bundle)
        if services.is_bento(folder):
            path, service = services.read_bento(folder.resolve())
            return Target(path, service or None, api=name, shown=str(folder))
    if file.rpartition(":")[0].endswith(".py"):
        plain = parse_target(file)
        return replace(plain, api=api or None, shown=file)
    return None


def _missing(file: str, path: Path) -> TargetError:
    if path.is_symlink():
        return TargetError(
            f"there is no file {file}: it is a link to {path.readlink()}, which is not there",
            hint="a store of data may have to fetch it first (git lfs pull, dvc pull)",
        )
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    near = [other.name for other in there if other.is_file()]
    return TargetError(f"there is no file {file}", hint=did_you_mean(path.name, near))

"""What `servd deploy` is pointed at: `file.py:name`, `file.py` or a pickle. Used by bundling.py.

A Python file is loaded in a fresh process; a pickle is only read, unless it needs modules of the
user's own: then it is loaded there as well. What comes along is found by servd/finding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from model_runtime import signature
from model_runtime.annotations.callables import Callee
from model_runtime.contract import distribution
from model_runtime.manifest import WEB_KINDS
from model_runtime.signature import Signature
from model_runtime.web import kinds
from servd.errors import TargetError, did_you_mean
from servd.finding import declared
from servd.finding.hints import module_hint, target_hint
from servd.finding.installed import is_installed
from servd.finding.layout import Layout
from servd.finding.needs import Needs, Place, installed_version, versions_of
from servd.packing import saved_bundle, services
from servd.packing.pickle_scan import PickleScan, scan
from servd.packing.saved_bundle import SavedBundle

PICKLE_ENDINGS: Final = (".pkl", ".pickle", ".joblib")


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
    def is_pickle(self) -> bool:
        """Whether it is a pickled model."""
        return self.path.suffix in PICKLE_ENDINGS

    @property
    def content(self) -> Path:
        """The file that holds it."""
        return self.path if self.made is None else self.made.content


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a target turned out to be.

    `files` are absolute paths, under the names by which they were found; `layout` says where they
    lie in the bundle. `sys_path`, `cwd` and `folders` (which may be empty) are folders of the
    bundle. `project` is the folder that the target belongs to. `method` is what is called, `name`
    what the model is called, `input_type` what it takes and `schema` an input's, each where the
    target itself says so. `signature` is how a function or a class says that it is called,
    `is_told` whether it says so itself; a class that `is_seldon` is written for Seldon Core.
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
    if target.path.suffix != ".py" and not target.is_pickle:
        raise TargetError(
            f"'{text}' is not something to deploy",
            hint="deploy file.py:function, file.py:Class, a .pkl, .pickle or .joblib file, or a "
            f"folder that BentoML has saved (with a {saved_bundle.DESCRIPTION})",
        )
    if target.path.exists() and not target.path.is_file():
        raise TargetError(f"{file} is not a file", hint="deploy a Python file or a pickle")
    if not target.path.is_file():
        raise _missing(file, target.path)
    return target


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


def find(
    target: Target,
    timeout_s: float = 120.0,
    place: Place | None = None,
    method: str = "predict",
    parameters: Mapping[str, Any] | None = None,
) -> Found:
    """Return what a target is and which files and packages it needs.

    A Python file may take `timeout_s` to load; `method` is what will be called of a class, which is
    made with `parameters`.

    Raises:
        TargetError: it cannot be deployed; the message says why.
    """
    place = place or Place(cwd=Path.cwd())
    if target.is_pickle:
        return _find_pickle(target, place, timeout_s)
    needs = Needs(target.path, place)
    needs.modules.add_target()
    for path in sorted(place.included):
        if path.suffix == ".py":
            needs.modules.add_file(path)
    needs.read_data()
    name = target.object or _only_object(needs, target.path, place, timeout_s)
    heard = needs.load(needs.what(name, method, parameters), timeout_s)
    found = _checked(heard.found or {}, target.path, needs, place)
    needs.read_data()
    packages = needs.packages(heard.packages)
    if found["kind"] == "service":
        return _of_api(target, name, needs, found, packages)
    if target.api is not None:
        raise TargetError(f"'{name}' is no service of BentoML, and has no API {target.api}")
    return _found(target, name, needs, found, packages)


def _of_api(
    target: Target, name: str, needs: Needs, found: dict[str, Any], packages: dict[str, str]
) -> Found:
    """Return what an API of a service of BentoML 1.x is.

    Raises:
        TargetError: it is not said which, or no input can be made into its arguments.
    """
    shown = target.shown or f"{target.path}:{name}"
    api = services.api_of(name, tuple(found["apis"]), target.api, shown)
    told = found["apis"][api]
    if "error" in told:
        raise TargetError(told["error"], hint=told["hint"] or "")
    made = _found(target, name, needs, found | told | {"is_told": True}, packages)
    own = saved_bundle.in_clipper(f"{name}-{api}")
    return replace(made, loader="bento", method=api, name=own, summary=f"{name}, {api}")


def _found(
    target: Target, name: str, needs: Needs, found: dict[str, Any], packages: dict[str, str]
) -> Found:
    """Return what an object of a Python file is, as it was found."""
    layout = needs.layout()
    return Found(
        project=needs.root,
        layout=layout,
        files=tuple(sorted(needs.files())),
        kind=found["kind"],
        is_seldon=found.get("is_seldon", False),
        object=name,
        sys_path=needs.sys_path(layout),
        cwd=needs.cwd(layout),
        folders=needs.folders(layout),
        signature=None if found["signature"] is None else signature.parse(found["signature"]),
        is_told=found["is_told"],
        as_lists=found["as_lists"],
        python=found["python"],
        packages=packages,
        remarks=(*needs.remarks(), *_lacking(found["kind"], target.path, needs)),
    )


def _lacking(kind: str, path: Path, needs: Needs) -> list[str]:
    """Return which packages a web application's project asks for and has not got here."""
    if kind not in WEB_KINDS:
        return []  # what a model needs its imports tell; the rest is for its training
    return declared.remarks(declared.lacking((path.parent, needs.root)))


def _only_object(needs: Needs, path: Path, place: Place, timeout_s: float) -> str:
    """Return the one function or class that a file defines, or its web application.

    Whatever else there is in the file of one: functions answer its requests.
    """
    found = _checked(needs.load(needs.what(), timeout_s).found or {}, path, needs, place)
    if len(found.get("services") or ()) == 1:
        return str(found["services"][0])
    applications: list[str] = found.get("web") or []
    if applications and (len(applications) == 1 or kinds.is_usual(applications[0])):
        return applications[0]
    names = applications or [*found["functions"], *found["classes"]]
    if len(names) == 1:
        return str(names[0])
    if not names:
        raise TargetError(f"{path.name} defines no public function and no class")
    commands = ", ".join(f"{path.name}:{name}" for name in names)
    what = "web applications" if applications else "functions and classes"
    raise TargetError(
        f"{path.name} defines {len(names)} {what}: {', '.join(names)}",
        hint=f"say which one to deploy: {commands}",
    )


def _checked(found: dict[str, Any], path: Path, needs: Needs, place: Place) -> dict[str, Any]:
    """Return what was found.

    Raises:
        TargetError: it is an error.
    """
    problem = found.get("error")
    if problem is None:
        return found
    hint = problem.get("hint") or ""
    if hint.startswith("did you mean "):
        name = hint.removeprefix("did you mean ").rstrip("?")
        hint += f"   servd deploy {path.name}:{name}"
    message = problem["message"]
    told = needs.name_hint(message, problem.get("before") or ())
    hint = told or target_hint(message, needs.root, place.cwd, needs.files()) or hint
    if "No module named" in message:
        hint = declared.hint(declared.lacking((path.parent, needs.root))) or hint
    traceback = (problem.get("traceback") or "").replace(f'File "{needs.root}/', 'File "')
    raise TargetError(message, hint=hint, traceback=traceback)


def _find_pickle(target: Target, place: Place, timeout_s: float) -> Found:
    path = target.path
    scanned = scan(target.content)
    needs = Needs(path, place, target.content)
    if target.made is not None:
        needs.add_running(target.made.loaded)
    named = (*scanned.modules, *scanned.guesses)
    local = {name.partition(".")[0] for name in named if needs.modules.add_module(name)}
    needed = [name for name in _frameworks(scanned) if name not in local]
    _check_installed(path, needed, needs, place)
    packages = _versions(scanned, needed)
    if local or place.included:
        for included in sorted(place.included):
            if included.suffix == ".py":
                needs.modules.add_file(included)
        needs.read_data()
        needs.load(replace(needs.what(), is_pickle=True), timeout_s)
        needs.read_data()
        packages = versions_of(needs.modules.found.installed) | packages
    layout = needs.layout()
    return Found(
        project=needs.root,
        layout=layout,
        files=tuple(sorted(needs.files())),
        kind="pickle",
        loader="pickle",
        object=None,
        sys_path=needs.sys_path(layout) or (layout.name_of(path.parent),),
        cwd=needs.cwd(layout),
        folders=needs.folders(layout),
        row_items=scanned.row_items,
        packages=packages,
        remarks=(*_remarks(path.name, scanned), *needs.remarks()),
        summary=_summary(scanned),
    )


def packages_of_pickle(path: Path) -> dict[str, str]:
    """Return the packages that a pickle needs, where it is one: it comes along with a Python file.

    What only unpickles it need not import them, so nothing else tells of them.
    """
    try:
        scanned = scan(path)
    except TargetError:
        return {}
    needed = [name for name in _frameworks(scanned) if is_installed(name)]
    return _versions(scanned, needed)


def _frameworks(scanned: PickleScan) -> list[str]:
    """Return the top-level modules that a pickle needs; of guesses only what is installed.

    A model that was fitted on a table gets tables, and names nothing of what makes them.
    """
    guessed = dict.fromkeys(name.partition(".")[0] for name in scanned.guesses)
    known = [name for name in guessed if name not in scanned.frameworks and is_installed(name)]
    tables = ["pandas"] if scanned.has_columns and is_installed("pandas") else []
    return list(dict.fromkeys([*scanned.frameworks, *known, *tables]))


def _check_installed(path: Path, modules: list[str], needs: Needs, place: Place) -> None:
    missing = [name for name in modules if not is_installed(name)]
    if not missing:
        return
    is_are = "is" if len(missing) == 1 else "are"
    hints = [module_hint(name, needs.root, place.cwd) for name in missing]
    raise TargetError(
        f"{path.name} needs {' and '.join(map(distribution, missing))}, "
        f"which {is_are} not installed",
        hint=next(filter(None, hints), f"pip install {' '.join(map(distribution, missing))}"),
    )


def _versions(scanned: PickleScan, modules: list[str]) -> dict[str, str]:
    """Return the versions the model was made with, or else the installed ones."""
    versions = versions_of(modules)
    if scanned.sklearn_version:
        versions["scikit-learn"] = scanned.sklearn_version
    return versions


def _remarks(file: str, scanned: PickleScan) -> list[str]:
    """Return what may go wrong at the load, to be said before it."""
    remarks = []
    made_with, installed = scanned.sklearn_version, installed_version("scikit-learn")
    if made_with and installed and made_with != installed:
        remarks.append(f"model was made with scikit-learn {made_with}, this is {installed}")
    if scanned.is_python2:
        remarks.append(f"{file} was written by Python 2; it may not load in Python 3")
    if scanned.needs_main:
        remarks.append(
            f"{file} needs a class or function of the script that wrote it (__main__), "
            "which is not in the file: move it to a module beside the pickle"
        )
    return remarks


def _summary(scanned: PickleScan) -> str:
    words = [f"pickle protocol {scanned.protocol}"]
    if scanned.compression:
        words.append(scanned.compression)
    main = [name for name in _frameworks(scanned) if name not in ("numpy", "joblib", "scipy")]
    for name in main[:1]:
        version = scanned.sklearn_version if name == "sklearn" else None
        words.append(f"{distribution(name)} {version}" if version else distribution(name))
    return ", ".join(words)

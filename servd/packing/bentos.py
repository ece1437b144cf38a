"""What a saved bundle of BentoML needs to be a model: one API of it. Used by bundling.py.

A bundle has its code and its artifacts with it, and says which packages it needs: nothing is loaded
to find out.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from model_runtime.manifest import AUTO
from servd.errors import TargetError
from servd.finding.data import files_below
from servd.finding.installed import Installed
from servd.finding.layout import Layout
from servd.finding.missing import install, where
from servd.finding.needs import Place
from servd.packing.pickles import packages_of_pickle
from servd.packing.saved_bundle import (
    DESCRIPTION,
    INPUT_TYPES,
    PICKLED,
    TABLE,
    SavedApi,
    SavedBundle,
    in_clipper,
)
from servd.packing.targets import Found, Target

_OF_IMAGES: Final = frozenset(
    {
        *("Dockerfile", "docker-entrypoint.sh", "bentoml-init.sh", "bundled_pip_dependencies"),
        *("setup.py", "MANIFEST.in", "docs.json", "environment.yml", "python_version", "README.md"),
    }
)
"""What lies in a bundle for building and installing it, and no replica reads."""
_OLDEST: Final = (3, 11)
"""The oldest Python that runs replicas."""
_MINOR: Final = re.compile(r"(\d+)\.(\d+)")
_PIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*(?:==\s*([^\s;,]+))?")
_NUMERIC: Final = frozenset({"integers", "floats", "doubles"})
_WORDS: Final = (
    ("int", "integer"),
    ("uint", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("str", "string"),
    ("date", "string"),
    ("bool", "boolean"),
)


def name_of(bundle: SavedBundle, api: str) -> str:
    """Return the name that a model of an API has, here as in Clipper: its letters are small."""
    return in_clipper(f"{bundle.name}-{api}")


def find_saved(
    target: Target,
    bundle: SavedBundle,
    input_type: str | None,
    schema: dict[str, Any] | None,
    place: Place,
) -> Found:
    """Return what an API of a bundle is, with inputs as the deployer says where he does.

    Raises:
        TargetError: it cannot be a model; the message says why.
    """
    api = bundle.api(target.object)
    _check_artifacts(bundle)
    own = _schema_of(api) if api.input_type == TABLE else None
    layout = Layout(bundle.folder)
    folder = layout.name_of(bundle.folder / bundle.name)
    return Found(
        project=bundle.folder,
        layout=layout,
        files=tuple(sorted(_files(bundle))),
        kind="saved",
        loader="bento",
        object=bundle.name,
        method=api.name,
        name=name_of(bundle, api.name),
        input_type=_input_type(api, input_type, schema or own),
        schema=schema or own,
        sys_path=(folder, "."),
        python=bundle.python if _is_runnable(bundle.python) else place.interpreter.version,
        packages=packages_of(bundle, place),
        remarks=(*_remarks(bundle, place), *_missing(bundle, place)),
        summary=f"{bundle.name}:{bundle.version}, {api.name} of {api.input_type}",
    )


def _files(bundle: SavedBundle) -> list[Any]:
    found = []
    for path in files_below(bundle.folder):
        parts = path.relative_to(bundle.folder).parts
        if parts[0] not in _OF_IMAGES and "__pycache__" not in parts:
            found.append(path)
    return found


def _check_artifacts(bundle: SavedBundle) -> None:
    """Raise where an artifact is not there.

    Raises:
        TargetError: the message has its name, and the file that is wanted.
    """
    folder = bundle.module.parent if not (bundle.folder / bundle.name).is_dir() else None
    for name, kind in bundle.artifacts:
        file = (folder or bundle.folder / bundle.name) / "artifacts" / f"{name}.pkl"
        if kind in PICKLED and not file.is_file():
            raise TargetError(
                f"the artifact '{name}' of {bundle.name} is not in the bundle: {file} is not there",
                hint=f"svc.pack('{name}', …), and save the service again: svc.save()",
            )


def _input_type(api: SavedApi, given: str | None, schema: dict[str, Any] | None) -> str:
    """Return the input type of an API's model.

    Raises:
        TargetError: there is none, or the deployer wants one that the API does not take.
    """
    own = INPUT_TYPES.get(api.input_type)
    if own is None:
        raise TargetError(
            f"the API '{api.name}' takes {api.input_type}, which servd does not have",
            hint=f"it has {', '.join(INPUT_TYPES)}",
        )
    given = None if given == AUTO else given
    if api.input_type == TABLE:
        fits = given in (None, "any", "rows") or given in _NUMERIC
        usual = "any" if schema is None or "properties" not in schema else "rows"
        if given == "rows" and usual != "rows":
            raise TargetError(
                f"the API '{api.name}' takes rows, and nothing says which columns they have",
                hint="--columns 'age:int,city:str', or DataframeInput(dtype={…})",
            )
    else:
        fits = given in (None, own) or own == "any" or {given, own} <= _NUMERIC
        usual = own
    if not fits:
        raise TargetError(
            f"the API '{api.name}' takes {api.input_type} (input type {own}), and is deployed with "
            f"the input type {given}",
            hint="leave --input-type out",
        )
    return given or usual


def _schema_of(api: SavedApi) -> dict[str, Any] | None:
    """Return the schema of a row, where a table's columns are named; else None."""
    dtype = api.config.get("dtype")
    columns = api.config.get("columns")
    types = dtype if isinstance(dtype, Mapping) else {}
    names = columns if isinstance(columns, list) else list(types)
    if not names or not all(isinstance(name, str) for name in names):
        return None
    fields = {name: _field(types.get(name)) for name in names}
    # What is not named is passed over, as by BentoML.
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": True,
    }


def _field(dtype: Any) -> dict[str, Any]:
    word = str(dtype).lower()
    kind = next((kind for start, kind in _WORDS if word.startswith(start)), None)
    if kind is None:
        return {}
    return {"type": kind} | ({"format": "date-time"} if word.startswith("date") else {})


# --- what it needs ---


def packages_of(bundle: SavedBundle, place: Place) -> dict[str, str]:
    """Return the packages that a bundle needs, in the versions that it names or that are there."""
    installed_version = Installed(place.interpreter).version_of
    found: dict[str, str] = {}
    for line in bundle.packages:
        name, pin = _pinned(line)
        version = pin or installed_version(name)
        if name and version:
            found[name] = version
    extra = ["pandas"] if any(api.input_type == TABLE for api in bundle.apis) else []
    if any(kind == "PickleArtifact" for _, kind in bundle.artifacts):
        extra.append("cloudpickle")
    for name in extra:
        if name not in found and (version := installed_version(name)):
            found[name] = version
    for path in sorted((bundle.folder / bundle.name).rglob("*.pkl")):
        found = packages_of_pickle(path, place) | found
    return found


def _pinned(line: str) -> tuple[str, str | None]:
    match = _PIN.match(line)
    return (match[1], match[2]) if match else ("", None)


def _missing(bundle: SavedBundle, place: Place) -> list[str]:
    """Return what to say of packages that a bundle names and that are not there."""
    installed_version = Installed(place.interpreter).version_of
    names = [_pinned(line)[0] for line in bundle.packages]
    lacking = [name for name in names if name and installed_version(name) is None]
    if not lacking:
        return []
    are = "is" if len(lacking) == 1 else "are"
    listed = ", ".join(lacking)
    told = f"{bundle.folder / DESCRIPTION} names {listed}, which {are} not installed"
    return [f"{told}{where(place) or ' here'}: {install(place, *lacking)}"]


def _remarks(bundle: SavedBundle, place: Place) -> list[str]:
    python = bundle.python
    here = place.interpreter.version
    if not python or _MINOR.match(python) is None or python.split(".")[:2] == here.split(".")[:2]:
        return []
    return [f"the bundle was saved by Python {python}, this is Python {here}"]


def _is_runnable(python: str) -> bool:
    found = _MINOR.match(python)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST

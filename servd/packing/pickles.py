"""What a pickle needs: the modules that it names, and their packages. Used by kinds.py.

It is only read, unless it needs modules of the user's own: then it is loaded in a fresh process as
well. What comes along is found by servd/finding.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from model_runtime.contract import distribution
from servd.errors import TargetError
from servd.finding.hints import module_hint
from servd.finding.installed import Installed
from servd.finding.missing import install, where
from servd.finding.needs import Needs, Place
from servd.packing.pickle_scan import PickleScan, scan
from servd.packing.targets import Found, Target

PICKLE_ENDINGS: Final = (".pkl", ".pickle", ".joblib")


def find_pickle(target: Target, place: Place, timeout_s: float) -> Found:
    """Return what a pickled model is and which files and packages it needs.

    Raises:
        TargetError: it is no pickle, or needs what is not there.
    """
    path = target.path
    scanned = scan(target.content, place.interpreter.series)
    needs = Needs(path, place, target.content)
    if target.made is not None:
        needs.add_running(target.made.loaded)
    named = (*scanned.modules, *scanned.guesses)
    local = {name.partition(".")[0] for name in named if needs.modules.add_module(name)}
    needed = [each for each in _frameworks(scanned, needs.installed) if each not in local]
    _check_installed(path, needed, needs, place)
    packages = _versions(scanned, needed, needs.installed)
    if local or place.included:
        for included in sorted(place.included):
            if included.suffix == ".py":
                needs.modules.add_file(included)
        needs.read_data()
        needs.load(replace(needs.what(), is_pickle=True), timeout_s)
        needs.read_data()
        packages = needs.installed.versions_of(needs.modules.found.installed) | packages
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
        remarks=(*_remarks(path.name, scanned, needs.installed), *needs.remarks()),
        summary=_summary(scanned, needs.installed),
    )


def packages_of_pickle(path: Path, place: Place | None = None) -> dict[str, str]:
    """Return the packages that a pickle needs, where it is one: it comes along with a Python file.

    What only unpickles it need not import them, so nothing else tells of them.
    """
    try:
        scanned = scan(path) if place is None else scan(path, place.interpreter.series)
    except TargetError:
        return {}
    installed = Installed(None if place is None else place.interpreter)
    needed = [name for name in _frameworks(scanned, installed) if installed.has(name)]
    return _versions(scanned, needed, installed)


def _frameworks(scanned: PickleScan, installed: Installed) -> list[str]:
    """Return the top-level modules that a pickle needs; of guesses only what is installed.

    A model that was fitted on a table gets tables, and names nothing of what makes them.
    """
    guessed = dict.fromkeys(name.partition(".")[0] for name in scanned.guesses)
    known = [each for each in guessed if each not in scanned.frameworks and installed.has(each)]
    tables = ["pandas"] if scanned.has_columns and installed.has("pandas") else []
    return list(dict.fromkeys([*scanned.frameworks, *known, *tables]))


def _check_installed(path: Path, modules: list[str], needs: Needs, place: Place) -> None:
    missing = [name for name in modules if not needs.installed.has(name)]
    if not missing:
        return
    is_are = "is" if len(missing) == 1 else "are"
    hints = [module_hint(name, needs.root, place.cwd) for name in missing]
    raise TargetError(
        f"{path.name} needs {' and '.join(map(distribution, missing))}, "
        f"which {is_are} not installed{where(place)}",
        hint=next(filter(None, hints), install(place, *map(distribution, missing))),
    )


def _versions(scanned: PickleScan, modules: list[str], installed: Installed) -> dict[str, str]:
    """Return the versions the model was made with, or else the installed ones."""
    versions = installed.versions_of(modules)
    if scanned.sklearn_version:
        versions["scikit-learn"] = scanned.sklearn_version
    return versions


def _remarks(file: str, scanned: PickleScan, installed: Installed) -> list[str]:
    """Return what may go wrong at the load, to be said before it."""
    remarks = []
    made_with, here = scanned.sklearn_version, installed.version_of("scikit-learn")
    if made_with and here and made_with != here:
        remarks.append(
            f"model was made with scikit-learn {made_with}, this is {here}: --env auto makes an "
            f"environment with {made_with}"
        )
    if scanned.is_python2:
        remarks.append(f"{file} was written by Python 2; it may not load in Python 3")
    if scanned.needs_main:
        remarks.append(
            f"{file} needs a class or function of the script that wrote it (__main__), "
            "which is not in the file: move it to a module beside the pickle"
        )
    return remarks


def _summary(scanned: PickleScan, installed: Installed) -> str:
    words = [f"pickle protocol {scanned.protocol}"]
    if scanned.compression:
        words.append(scanned.compression)
    main = [
        name for name in _frameworks(scanned, installed) if name not in ("numpy", "joblib", "scipy")
    ]
    for name in main[:1]:
        version = scanned.sklearn_version if name == "sklearn" else None
        words.append(f"{distribution(name)} {version}" if version else distribution(name))
    return ", ".join(words)

"""What an object of a Python file needs: it is loaded in a fresh process. Used by kinds.py.

What comes along is found by servd/finding.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from model_runtime import signature
from model_runtime.contract import distribution
from model_runtime.manifest import WEB_KINDS
from model_runtime.web import kinds
from servd.errors import TargetError
from servd.finding import declared
from servd.finding.hints import target_hint
from servd.finding.missing import install, installer, is_built, where
from servd.finding.needs import Needs, Place
from servd.packing import saved_bundle, services
from servd.packing.targets import Asked, Found, Target

_NO_MODULE: Final = re.compile(r"No module named '([\w.]+)'")


def find_code(target: Target, place: Place, asked: Asked, timeout_s: float) -> Found:
    """Return what an object of a Python file is and which files and packages it needs.

    The file may take `timeout_s` to load.

    Raises:
        TargetError: it cannot be deployed; the message says why.
    """
    needs = Needs(target.path, place)
    needs.modules.add_target()
    for path in sorted(place.included):
        if path.suffix == ".py":
            needs.modules.add_file(path)
    needs.read_data()
    name = target.object or _only_object(needs, target.path, place, timeout_s)
    heard = needs.load(needs.what(name, asked.method, asked.parameters), timeout_s)
    found = checked(heard.found or {}, target.path, needs, place)
    needs.read_data()
    packages = needs.packages(heard.packages)
    if found["kind"] == "service":
        return _of_api(target, name, needs, found, packages)
    if target.api is not None:
        raise TargetError(f"'{name}' is no service of BentoML, and has no API {target.api}")
    made = _found(name, needs, found, packages)
    lacking = _lacking(found["kind"], target.path, needs, place)
    return replace(made, remarks=(*made.remarks, *lacking))


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
    made = _found(name, needs, found | told | {"is_told": True}, packages)
    own = saved_bundle.in_clipper(f"{name}-{api}")
    return replace(made, loader="bento", method=api, name=own, summary=f"{name}, {api}")


def _found(name: str, needs: Needs, found: dict[str, Any], packages: dict[str, str]) -> Found:
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
        remarks=tuple(needs.remarks()),
    )


def _lacking(kind: str, path: Path, needs: Needs, place: Place) -> list[str]:
    """Return which packages a web application's project asks for and has not got here."""
    if kind not in WEB_KINDS:
        return []  # what a model needs its imports tell; the rest is for its training
    return _asked_for(declared.lacking(_folders(path, needs), place.interpreter), place)


def _folders(path: Path, needs: Needs) -> tuple[Path, ...]:
    return path.parent, needs.root


def _asked_for(lacking: list[declared.Lacking], place: Place) -> list[str]:
    """Return what the project's files ask for and the environment lacks, in words.

    An environment that servd has built has what it was asked for, be it of these files or others.
    """
    if is_built(place.interpreter):
        return []
    there = where(place).strip() or "here"
    return declared.remarks(lacking, there, installer=installer(place.interpreter, place.cwd))


def _only_object(needs: Needs, path: Path, place: Place, timeout_s: float) -> str:
    """Return the one function or class that a file defines, or its web application.

    Whatever else there is in the file of one: functions answer its requests.
    """
    found = checked(needs.load(needs.what(), timeout_s).found or {}, path, needs, place)
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


def _installing(message: str, place: Place) -> str:
    """Return how a module that is not there is installed where the model runs."""
    module = _NO_MODULE.search(message)
    if module is None or place.interpreter.is_own:
        return ""
    name = distribution(module[1].partition(".")[0])
    return f"{name} is not installed{where(place)}: {install(place, name)}"


def checked(
    found: dict[str, Any], path: Path, needs: Needs, place: Place, way: str = "servd deploy"
) -> dict[str, Any]:
    """Return what was found; `way` is how another object of the file is named in its stead.

    Raises:
        TargetError: it is an error.
    """
    problem = found.get("error")
    if problem is None:
        return found
    hint = problem.get("hint") or ""
    if hint.startswith("did you mean "):
        name = hint.removeprefix("did you mean ").rstrip("?")
        hint += f"   {way} {path.name}:{name}"
    message = problem["message"]
    told = needs.name_hint(message, problem.get("before") or ())
    hint = told or target_hint(message, needs.root, place.cwd, needs.files()) or hint
    if "No module named" in message:
        lacking = declared.lacking(_folders(path, needs), place.interpreter)
        missing = [each for each in lacking if each.installed is None]
        hint = next(iter(_asked_for(missing, place)), "") or _installing(message, place) or hint
    traceback = (problem.get("traceback") or "").replace(f'File "{needs.root}/', 'File "')
    raise TargetError(message, hint=hint, traceback=traceback)

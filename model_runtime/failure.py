"""What went wrong in a model, told to its owner. Called by the loop, the test call and discover.

A failure is a message of one line, the traceback cut to the model's own frames, and a hint: what
to do next, where that is known.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import traceback as tb
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from model_runtime import manifest as manifests
from model_runtime import packed
from model_runtime.bundle import FILES_NAME, BundleFormatError
from model_runtime.contract import HIDDEN_VARIABLE, distribution

MODEL_ERRORS: Final = BaseException
"""What a call into a model may raise that is the model's failure and not the end of the replica:
`sys.exit`, asyncio's CancelledError and a panic of a library in Rust are no `Exception`."""

_MAX_MESSAGE: Final = 500
_SECRET_LETTERS: Final = 6
"""Of the shortest value that is hidden: others are words as any."""
_MAX_LINE: Final = 2000
_NOT_INSTALLED: Final = "not installed"
_OWN_FOLDER: Final = str(Path(__file__).parent)
_NO_FILE: Final = re.compile(
    r"No such file|(?:unable to|cannot|could not) open|file (?:\S+ )?(?:does not|doesn't) exist",
    re.IGNORECASE,
)
_MACHINERY: Final = re.compile(r"<frozen (importlib|runpy|zipimport)|/importlib/__init__\.py$")


class ModelFault(Exception):  # noqa: N818  (a failure of the model, told in full)
    """A failure that already knows its message, the traceback to show and the hint."""

    def __init__(self, message: str, traceback: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.traceback = traceback
        self.hint = hint


def describe(error: BaseException, bundle_dir: Path | None) -> dict[str, str]:
    """Return `message`, `traceback` and `hint` of what a model raised."""
    if isinstance(error, ModelFault):
        return {"message": error.message, "traceback": error.traceback, "hint": error.hint}
    return {
        "message": message_of(error),
        "traceback": traceback_of(error, bundle_dir),
        "hint": hint_for(error, bundle_dir),
    }


def message_of(error: BaseException) -> str:
    """Return the type and text of an exception as one line of at most 500 characters."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001  (the model's own __str__ may raise anything)
        text = f"<its text cannot be read: {type(broken).__name__}>"
    line = " ".join(f"{type(error).__name__}: {_without_secrets(text)}".split())
    return _shortened(line.removesuffix(":"), _MAX_MESSAGE)


def _without_secrets(text: str) -> str:
    """Return a text with names in the place of values that the deployer wants told to nobody."""
    for name in filter(None, os.environ.get(HIDDEN_VARIABLE, "").split(",")):
        for line in os.environ.get(name, "").splitlines():
            if len(line) >= _SECRET_LETTERS:
                text = text.replace(line, f"(the value of {name})")
    return text


def _shortened(line: str, limit: int) -> str:
    """Return a line of at most `limit` characters: an exception may quote its whole input."""
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def traceback_of(error: BaseException, bundle_dir: Path | None) -> str:
    """Return a traceback without the frames of the runtime and of Python's import system.

    Files of the bundle are named as their author knows them: relative to the bundle's files.
    """
    root = "" if bundle_dir is None else f"{(bundle_dir / FILES_NAME).resolve()}/"
    told = tb.TracebackException.from_exception(error, limit=-40)
    _cut(told, root, set())
    lines = "".join(told.format()).rstrip().split("\n")
    return "\n".join(_shortened(line, _MAX_LINE) for line in lines)


def _cut(told: tb.TracebackException, root: str, seen: set[int]) -> None:
    """Drop the frames that are not the model's from an exception and those that led to it."""
    if id(told) in seen:
        return
    seen.add(id(told))
    frames = [frame for frame in told.stack if _is_model_frame(frame.filename)]
    told.stack = tb.StackSummary.from_list(
        [(_relative(f.filename, root), f.lineno or 0, f.name, f.line) for f in frames]
    )
    name = getattr(told, "filename", None)
    if isinstance(name, str):
        told.filename = _relative(name, root)
    for nearby in (told.__cause__, told.__context__):
        if nearby is not None:
            _cut(nearby, root, seen)


def _is_model_frame(filename: str) -> bool:
    """Tell whether a frame is neither the runtime's nor the import system's."""
    return not filename.startswith(_OWN_FOLDER) and not _MACHINERY.search(filename)


def _relative(filename: str, root: str) -> str:
    """Return a file's name below the bundle's files, or as it is."""
    return filename.removeprefix(root) if root else filename


def hint_for(error: BaseException, bundle_dir: Path | None) -> str:
    """Return what to do about an exception, or an empty text."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _other_version_hint(error.name) or missing_module_hint(error.name)
    if isinstance(error, SystemExit):
        return (
            "the model's code ends the program: put what is only for a script under "
            'if __name__ == "__main__":'
        )
    if isinstance(error, MemoryError):
        return "the model needs more memory than it may have"
    if type(error).__name__ == "NotFittedError":
        return "the model was saved before it was trained: call its fit first, then save it again"
    if isinstance(error, AttributeError) and "__main__" in str(error):
        return (
            "the pickle needs a class or function of the script that made it: "
            "put that in a file of its own beside the model and import it from there"
        )
    return _bundle_version_hint(bundle_dir) or _file_hint(error)


def _other_version_hint(module: str) -> str:
    """Return the hint for a module that the installed version of its package does not have."""
    top = module.partition(".")[0]
    name = distribution(top)
    version = installed_version(name)
    if top == module or version == _NOT_INSTALLED:
        return ""
    return (
        f"{name} {version} has no {module}: install the version the model was made with, "
        "or --env auto makes an environment that has it"
    )


def missing_module_hint(module: str) -> str:
    """Return how to get a module that is not installed."""
    top = module.partition(".")[0]
    name = distribution(module)
    if name == module:
        name = distribution(top)
    return (
        f"if {top} is a file of yours: servd deploy … --include {top}.py; if it is a package: "
        f"{install_command(name)}, or --env auto makes an environment that has it"
    )


def install_command(name: str) -> str:
    """Return how a package comes where this runs."""
    if packed.IS_FOREIGN:
        return f"{sys.executable} -m pip install {name}"
    return f"pip install {name} in the environment servd runs in"


def _file_hint(error: BaseException) -> str:
    """Return the hint for a data file that was not found; libraries in C have their own words."""
    if isinstance(error, FileNotFoundError) or _NO_FILE.search(message_of(error)):
        return (
            "is it a file of the project? servd deploy … --include NAME takes it along; it is then "
            "found by the name it has there, relative to the working directory or to __file__"
        )
    return ""


def _bundle_version_hint(bundle_dir: Path | None) -> str:
    """Return the version hint of a bundle, where it has a manifest."""
    if bundle_dir is None:
        return ""
    try:
        return version_hint(manifests.read(bundle_dir).packages)
    except (BundleFormatError, OSError):
        return ""


def version_hint(packages: Mapping[str, str]) -> str:
    """Return which packages differ from those the model was made with, or an empty text."""
    differing = [
        f"{name} {made_with} (here: {here})"
        for name, made_with in sorted(packages.items())
        if (here := installed_version(name)) != made_with
    ]
    if not differing:
        return ""
    return (
        f"the model was made with {', '.join(differing)}: install the same, make it again, or have "
        "--env auto make an environment with them"
    )


def installed_version(distribution: str) -> str:
    """Return the installed version of a distribution, or "not installed"."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return _NOT_INSTALLED


def as_json(error: BaseException, bundle_dir: Path | None) -> dict[str, Any]:
    """Return `describe` for a JSON document, whatever characters the texts hold."""
    described = describe(error, bundle_dir)
    return {key: text.encode(errors="replace").decode() for key, text in described.items()}

"""`servd clipper-shim`: a distribution that answers to the name clipper_admin.

Scripts that import clipper_admin run with it as they are. Its modules are those of servd.clipper.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from servd import __version__ as servd_version
from servd.cli.session import Session
from servd.cli.verb import verb
from servd.errors import ConflictError, ServdError

NAME: Final = "clipper_admin"
VERSION: Final = "0.4.1"
"""Whose interface it is; servd.clipper.version says the same."""

MODULES: Final = (
    *("clipper_admin", "container_manager", "decorators", "exceptions", "version"),
    *("docker.docker_container_manager", "kubernetes.kubernetes_container_manager"),
    *(
        f"deployers.{name}"
        for name in (
            *("deployer_utils", "python", "pytorch", "tensorflow", "keras"),
            *("onnx", "pyspark", "mxnet", "xgboost"),
        )
    ),
)
"""The modules of clipper_admin that scripts import."""
_PACKAGES: Final = ("docker", "kubernetes", "deployers")
_BUILD: Final = """\
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"
"""
_MARK: Final = "Summary: clipper_admin's interface, served by servd"


@verb(
    "clipper-shim",
    examples=("servd clipper-shim ./shim", "PYTHONPATH=./shim python tutorial.py"),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def command(session: Session, folder: Path) -> None:
    """Write a package clipper_admin into DIR, for scripts that import that.

    They use it with PYTHONPATH=DIR, or after pip install DIR.
    """
    place = folder.absolute()
    files = dict(shim_files())
    try:
        _check_own(place)
        for name, text in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise ServdError(f"{error.filename or place}: {error.strerror or error}") from error
    shown = shlex.quote(os.path.relpath(place))
    session.output.result(
        {"path": str(place), "files": sorted(files), "name": NAME, "version": VERSION},
        f"wrote clipper_admin to {shown}: PYTHONPATH={shown} python SCRIPT, or pip install "
        f"{shown if os.sep in shown else f'./{shown}'}",
    )


def _check_own(place: Path) -> None:
    """Refuse a folder with a clipper_admin that is not one of these."""
    metadata = place / f"{NAME}-{VERSION}.dist-info" / "METADATA"
    is_own = metadata.is_file() and _MARK in metadata.read_text("utf-8", "replace")
    if (place / NAME).exists() and not is_own:
        raise ConflictError(
            f"{place / NAME} is there, and is not one that servd has written",
            hint="give another folder: servd clipper-shim DIR",
        )


def shim_files() -> Iterator[tuple[str, str]]:
    """Yield the files of the distribution by name: the package, and what pip and
    importlib.metadata know it by.
    """
    yield f"{NAME}/__init__.py", _package("")
    for package in _PACKAGES:
        yield f"{NAME}/{package}/__init__.py", _package(f".{package}")
    for module in MODULES:
        yield f"{NAME}/{module.replace('.', '/')}.py", _module(module)
    metadata = (
        f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n{_MARK}\n"
        f"Requires-Dist: servd\n\nWritten by servd {servd_version}: servd clipper-shim\n"
    )
    info = f"{NAME}-{VERSION}.dist-info"
    yield f"{info}/METADATA", metadata
    yield f"{info}/top_level.txt", f"{NAME}\n"
    yield f"{info}/INSTALLER", "servd\n"
    yield "pyproject.toml", _BUILD
    packages = "\n".join(f"    {name}" for name in (NAME, *(f"{NAME}.{one}" for one in _PACKAGES)))
    yield (
        "setup.cfg",
        (
            f"[metadata]\nname = {NAME}\nversion = {VERSION}\n"
            f"description = {_MARK.removeprefix('Summary: ')}\n\n"
            f"[options]\npackages =\n{packages}\ninstall_requires =\n    servd\n"
        ),
    )


def _package(name: str) -> str:
    """Return a package's file: it has the names of its twin, and modules of its own."""
    lines = [f'"""servd.clipper{name}, for scripts as they are."""', ""]
    lines.append(f"from servd.clipper{name} import *")
    if not name:
        lines.append("from servd.clipper import __registry__, __version__")
        lines.append("from clipper_admin import deployers")
    return "\n".join(lines) + "\n"


def _module(name: str) -> str:
    """Return a module's file: the name leads to the very module of servd."""
    return (
        f'"""servd.clipper.{name}, for scripts as they are."""\n\n'
        f"import sys\n\nimport servd.clipper.{name} as real\n\nsys.modules[__name__] = real\n"
    )

"""What a model of a format needs, where its content has told which that is. Used by kinds.py."""

import os
from pathlib import Path

from servd.errors import TargetError
from servd.finding.layout import Layout
from servd.finding.needs import Needs, Place
from servd.packing.code import checked
from servd.packing.formats import needed
from servd.packing.formats.base import Format, Inspected
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked, Found, Target


def find_format(chosen: Format, target: Target, place: Place, asked: Asked) -> Found:
    """Return what a file or folder of a format is, and which files and packages it needs.

    Nothing is loaded: what the file says of itself is compared with what is installed where it is
    going to run.

    Raises:
        TargetError: it is damaged, or its library is not there or does not read it.
    """
    said = chosen.inspect(Peek(target.path), asked)
    packages = needed.checked(target.path.name, said.needs, place)
    file = said.file or target.path
    needs = Needs(said.architecture[0] if said.architecture else file, place)
    if said.architecture is not None:
        packages |= _packages_of(said.architecture, needs, place, asked)
    for included in sorted(place.included):
        if included.suffix == ".py":
            needs.modules.add_file(included)
    _check_below(target, said)
    files = {file, *said.files}
    needs.add_files(files)
    layout = needs.layout()
    return Found(
        project=needs.root,
        layout=layout,
        files=tuple(sorted(needs.files())),
        kind="folder" if chosen.is_folder else "file",
        loader=chosen.name,
        object=None,
        file=said.file,
        sys_path=needs.sys_path(layout) or (layout.name_of(file.parent),),
        cwd=layout.name_of(file.parent),
        packages=packages,
        remarks=(*said.remarks, *needed.remarks(said.needs, place), *needs.remarks()),
        summary=said.summary,
        trust=said.trust,
        architecture=_named(said, layout),
        task=said.task,
    )


def _named(said: Inspected, layout: Layout) -> str | None:
    """Return what weights are put into, as a replica finds it."""
    if said.architecture is None:
        return None
    return f"{layout.name_of(said.architecture[0])}:{said.architecture[1]}"


def _packages_of(
    architecture: tuple[Path, str], needs: Needs, place: Place, asked: Asked
) -> dict[str, str]:
    """Take along what the code of a class needs, and return the packages that it does.

    Raises:
        TargetError: it is not there, or does not load.
    """
    path, name = architecture
    needs.modules.add_target()
    needs.read_data()
    heard = needs.load(needs.what(name, parameters=asked.parameters), asked.timeout_s)
    checked(heard.found or {}, path, needs, place, "--class")
    needs.read_data()
    return needs.packages(heard.packages)


def _check_below(target: Target, said: Inspected) -> None:
    """Raise TargetError where a file that the model names lies elsewhere than with it."""
    folder = target.path if said.file is not None else target.path.parent
    for path in said.files:
        if not Path(os.path.normpath(path)).is_relative_to(folder):
            raise TargetError(
                f"{target.path.name} names {path}, which leads out of the folder that it lies in"
            )
        if not path.is_file():
            raise TargetError(f"{target.path.name} needs {path.name}, which is not beside it")

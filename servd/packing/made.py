"""What an object of a running program needs: its modules, files and packages. Used by bundling.py.

The program has imported what the object uses, and says from where; nothing is loaded to find out.
"""

import platform
from collections.abc import Iterable
from typing import Final

from servd.errors import TargetError
from servd.finding.hints import module_hint
from servd.finding.needs import Needs, Place
from servd.packing.targets import Found, Made, Target

_PICKLER: Final = "cloudpickle"
"""What a replica reads functions and classes with that were written by value."""


def find_made(target: Target, made: Made, place: Place) -> Found:
    """Return what an object is and which files and packages it needs.

    Raises:
        TargetError: it needs a module that is nowhere.
    """
    needs = Needs(target.path, place, made.content)
    needs.add_running(made.loaded)
    for path in sorted(place.included):
        if path.suffix == ".py":
            needs.modules.add_file(path)
    for name in made.modules:
        if name not in made.loaded:
            needs.modules.add_module(name)
    _check_there(made, needs, place)
    needs.add_texts(made.texts)
    needs.read_data()
    layout = needs.layout()
    callee = made.callee
    installed = needs.modules.found.installed
    return Found(
        project=needs.root,
        layout=layout,
        files=tuple(sorted(needs.files())),
        kind=made.kind,
        loader="pickle",
        object=made.name,
        sys_path=needs.sys_path(layout) or (layout.name_of(target.path.parent),),
        cwd=needs.cwd(layout),
        folders=needs.folders(layout),
        signature=None if callee is None else callee.signature,
        is_told=callee is not None and callee.is_told,
        as_lists=callee is not None and callee.as_lists,
        is_seldon=made.is_seldon,
        python=platform.python_version(),
        packages=needs.packages({}) | needs.installed.versions_of([*installed, _PICKLER]),
        remarks=needs.remarks(),
        summary=made.kind,
    )


def _check_there(made: Made, needs: Needs, place: Place) -> None:
    missing = _top_level(needs.modules.found.missing) & _top_level(made.modules)
    for name in sorted(missing):
        raise TargetError(
            f"{made.name} needs the module {name}, which is nowhere to be found",
            hint=module_hint(name, needs.root, place.cwd) or f"pip install {name}",
        )


def _top_level(modules: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}

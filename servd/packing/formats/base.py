"""What a format of models is. Used by table.py and by each format's file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A library that a model needs where it runs.

    `distribution` is what brings the module, by default; another may have brought it, and one of
    `others` is as good. The file is
    read from the version `at_least` on (of which `why` tells, as in "opset 21") and up to
    `at_most`, each empty where any does; `made_with` is the one that wrote it. What only `is_asked`
    for is said to be missing and no more; without a module the distribution itself is looked for.
    """

    module: str
    distribution: str
    at_least: str = ""
    at_most: str = ""
    why: str = ""
    made_with: str = ""
    others: tuple[str, ...] = ()
    is_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a model says of itself.

    `summary` is for people, behind its name. `needs` are libraries, `files` what comes along (all
    that lie in a folder), `file` what tells of a folder what it is. `trust` are the types in it
    that the deployer trusts. `remarks` are said before it is loaded. `architecture` is the file and
    the name of what it is put into, `task` what it is used for.
    """

    summary: str
    needs: tuple[Need, ...] = ()
    files: tuple[Path, ...] = ()
    file: Path | None = None
    remarks: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    architecture: tuple[Path, str] | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of models. `name` is its loader's, `what` says what a file of it is.

    `detect` tells by the content whether a file, or a folder, is of it. `inspect` reads what it
    says of itself, and raises TargetError where it is damaged or cannot be served.
    """

    name: str
    what: str
    detect: Callable[[Peek], bool]
    inspect: Callable[[Peek, Asked], Inspected]
    is_folder: bool = False

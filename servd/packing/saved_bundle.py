"""What a saved bundle of BentoML says of itself: bentoml.yml of 0.13. Used by bentos.py.

Nothing of it is imported here. Bundles of BentoML before 0.8 have other words for some things.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, Final

import yaml

from servd.errors import TargetError
from servd.packing.services import api_of
from servd.packing.yaml_texts import values_of

DESCRIPTION: Final = "bentoml.yml"
_MAX_BYTES: Final = 4 << 20
_CLIPPER: Final = {
    "ClipperBytesInput": "bytes",
    "ClipperIntsInput": "integers",
    "ClipperFloatsInput": "floats",
    "ClipperDoublesInput": "doubles",
    "ClipperStringsInput": "strings",
}
TABLE: Final = "DataframeInput"
INPUT_TYPES: Final = {"JsonInput": "any", "StringInput": "strings", TABLE: "any", **_CLIPPER}
"""The input types of models, by what their APIs take."""
PICKLED: Final = ("PickleArtifact", "SklearnModelArtifact")
_SAVE_AGAIN: Final = "save the service again: svc.save()"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedApi:
    """An API of a saved service. `input_type` is a class's name, `config` what that was given."""

    name: str
    input_type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    batch: bool = False

    @property
    def is_clipper(self) -> bool:
        """Whether Clipper could be deployed to with it."""
        return self.input_type in _CLIPPER


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedBundle:
    """A service that was saved. `module` is the file of its class; paths are absolute."""

    folder: Path
    name: str
    version: str
    python: str
    module: Path
    apis: tuple[SavedApi, ...]
    artifacts: tuple[tuple[str, str], ...]
    packages: tuple[str, ...]

    def api(self, name: str | None) -> SavedApi:
        """Return an API; None: the only one.

        Raises:
            TargetError: it has none of that name, or several.
        """
        names = tuple(each.name for each in self.apis)
        chosen = api_of(self.name, names, name, str(self.folder))
        return next(each for each in self.apis if each.name == chosen)


def in_clipper(text: str) -> str:
    """Return a text as Clipper takes names and versions."""
    return re.sub(r"[^a-zA-Z0-9-]", "-", text).lower()


def is_saved(folder: Path) -> bool:
    """Tell whether a folder is a saved bundle."""
    try:
        return (folder / DESCRIPTION).is_file()
    except OSError:  # a text that is no name
        return False


def read(folder: Path) -> SavedBundle:
    """Return what a saved bundle says of itself.

    Raises:
        TargetError: it is damaged; the message says where.
    """
    path = folder / DESCRIPTION
    words, values = _parsed(path)
    name = _text(words, path, "metadata", "service_name")
    if not name.isidentifier():
        raise _damaged(path, f"its service_name {name!r:.60} is no name of a class")
    env = values.get("env")
    env = env if isinstance(env, dict) else {}
    known = words.get("env")
    python = known.get("python_version", "") if isinstance(known, dict) else ""
    return SavedBundle(
        folder=folder,
        name=name,
        version=_text(words, path, "metadata", "service_version"),
        python=python if isinstance(python, str) else "",
        module=_module(folder, path, name, _text(words, path, "metadata", "module_file")),
        apis=_apis(path, values),
        artifacts=tuple(
            (str(each.get("name")), str(each.get("artifact_type")))
            for each in _listed(path, values, "artifacts")
        ),
        packages=_packages(env),
    )


def _parsed(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a description twice: with all its words as texts, and as the values that they are.

    A version such as 20191113154121_123456 would be a number.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _damaged(path, f"it is larger than {_MAX_BYTES} bytes")
        content = path.read_text("utf-8")
        words = yaml.load(content, yaml.BaseLoader)  # noqa: S506 - which makes texts only
        values = values_of(content)
    except OSError as error:
        raise TargetError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise _damaged(path, f"{where}{error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _damaged(path, f"it is no YAML: {error}".splitlines()[0]) from error
    if not isinstance(words, dict) or not isinstance(values, dict):
        raise _damaged(path, "it is no mapping")
    version = str(words.get("version", ""))
    if version and not version.startswith("0"):
        raise TargetError(f"{path} is of BentoML {version}, which servd does not know")
    return words, values


def _damaged(path: Path, why: str) -> TargetError:
    return TargetError(f"{path} is damaged: {why}", hint=_SAVE_AGAIN)


def _text(words: dict[str, Any], path: Path, part: str, name: str) -> str:
    """Return a text that has to be there."""
    found = words.get(part)
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise _damaged(path, f"it has no {part}.{name}")
    return value


def _listed(path: Path, values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = values.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _damaged(path, f"its {name} are no list of mappings")
    return found


def _module(folder: Path, path: Path, name: str, told: str) -> Path:
    """Return the file of a service's class: below its own folder, or, once installed, beside it."""
    relative = PureWindowsPath(told).as_posix()
    if ".." in relative.split("/") or relative.startswith("/"):
        raise _damaged(path, f"its module_file {told!r:.80} leads out of the bundle")
    for file in (folder / name / relative, folder / relative):
        if file.is_file():
            return file
    raise TargetError(
        f"{folder / name / relative} is not there, the file of the service {name}", hint=_SAVE_AGAIN
    )


def _apis(path: Path, values: dict[str, Any]) -> tuple[SavedApi, ...]:
    found: dict[str, SavedApi] = {}
    for each in _listed(path, values, "apis"):
        name = each.get("name")
        kind = each.get("input_type") or each.get("handler_type")
        if not isinstance(name, str) or not isinstance(kind, str):
            raise _damaged(path, f"an API of it has no name or no input_type: {each!r:.80}")
        if name in found:
            raise _damaged(path, f"it has two APIs of the name '{name}'")
        if kind.endswith("Handler"):
            kind = f"{kind.removesuffix('Handler')}Input"
        config = each.get("input_config") or each.get("handler_config")
        found[name] = SavedApi(
            name=name,
            input_type=kind,
            config=config if isinstance(config, dict) else {},
            batch=bool(each.get("batch", False)),
        )
    return tuple(found.values())


def _packages(env: dict[str, Any]) -> tuple[str, ...]:
    """Return the packages that a bundle names, without BentoML itself."""
    told = env.get("pip_packages") or env.get("pip_dependencies") or []
    lines = [each for each in told if isinstance(each, str)] if isinstance(told, list) else []
    written = env.get("requirements_txt")
    if isinstance(written, str):
        lines += [line.partition("#")[0].strip() for line in written.splitlines()]
    kept = [line for line in lines if line and not line.startswith("-")]
    return tuple(line for line in kept if not line.lower().startswith("bentoml"))

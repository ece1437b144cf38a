"""Services of BentoML 1.x: bentos (folders with a bento.yaml), and which API is meant.

Used by targets.py. What a service's APIs are is found out by loading its file, where BentoML is
(model_runtime/loaders/bento_sdk.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from servd.errors import TargetError, did_you_mean
from servd.packing.yaml_texts import values_of

DESCRIPTION: Final = "bento.yaml"
_MAX_BYTES: Final = 16 << 20


class SeveralApisError(TargetError):
    """A service has several APIs, and none is named. `targets` are all of them."""

    def __init__(self, service: str, apis: tuple[str, ...], shown: str) -> None:
        self.targets = tuple(f"{shown}:{api}" for api in apis)
        super().__init__(
            f"{service} has {len(apis)} APIs: {', '.join(apis)}",
            hint=f"say which one to deploy: {self.targets[0]}",
        )


def api_of(service: str, names: tuple[str, ...], wanted: str | None, shown: str) -> str:
    """Return the API that is wanted; None: the only one. `shown` is how the user knows the service.

    Raises:
        SeveralApisError: it is not said which.
        TargetError: there is none of that name, or none at all.
    """
    if not names:
        raise TargetError(f"{service} has no API", hint="a method that answers is made one by @api")
    if wanted is None:
        if len(names) > 1:
            raise SeveralApisError(service, names, shown)
        return names[0]
    if wanted not in names:
        hint = did_you_mean(wanted, names) or f"it has: {', '.join(names)}"
        raise TargetError(f"{service} has no API '{wanted}'", hint=hint)
    return wanted


def is_bento(folder: Path) -> bool:
    """Tell whether a folder is a bento of BentoML 1.x."""
    try:
        return (folder / DESCRIPTION).is_file()
    except OSError:  # a text that is no name
        return False


def read_bento(folder: Path) -> tuple[Path, str]:
    """Return the file of a bento's service, and the service's name in it.

    Raises:
        TargetError: the bento is damaged; the message says where.
    """
    path = folder / DESCRIPTION
    service = _parsed(path).get("service")
    if not isinstance(service, str) or not service:
        raise _damaged(path, "it names no service")
    module, _, name = service.partition(":")
    relative = module if module.endswith(".py") else f"{module.replace('.', '/')}.py"
    if ".." in relative.split("/") or relative.startswith("/"):
        raise _damaged(path, f"its service {service!r:.80} leads out of the bento")
    file = folder / "src" / relative
    if not file.is_file():
        raise TargetError(
            f"{file} is not there, the file of the service {service}", hint="bentoml build"
        )
    return file, name


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _damaged(path, f"it is larger than {_MAX_BYTES} bytes")
        found = values_of(path.read_text("utf-8"))
    except OSError as error:
        raise TargetError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise _damaged(path, f"{where}{error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _damaged(path, f"it is no YAML: {error}".splitlines()[0]) from error
    if not isinstance(found, dict):
        raise _damaged(path, "it is no mapping")
    return found


def _damaged(path: Path, why: str) -> TargetError:
    return TargetError(f"{path} is damaged: {why}", hint="make it again: bentoml build")

"""What a service holds: fitted models and other things, saved beside its code."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_runtime.bento.exceptions import (
    ArtifactLoadingException,
    BentoMLException,
    FailedPrecondition,
    InvalidArgument,
    MissingDependencyException,
)

if TYPE_CHECKING:
    from model_runtime.older import Self

ARTIFACTS_DIR_NAME = "artifacts"
"""The folder of artifacts below that of a service's code."""


class BentoServiceArtifact:
    """One artifact. A subclass says how its value is written and read: `file_in`, `dump`, `read`.

    A subclass that overrides `save`, `load` and `get`, as those for BentoML do, works as well.
    """

    _given: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *positional: Any, **named: Any) -> Self:
        """Remember the arguments: each instance of a service has artifacts of its own."""
        made = super().__new__(cls)
        made._given = (positional, named)
        return made

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidArgument(
                f"an artifact's name is one that a variable could have, not {name!r}"
            )
        self._name = name
        self._value: Any = None
        self._metadata: dict[str, Any] = {}
        self.is_packed = False
        self.is_loaded = False

    @property
    def name(self) -> str:
        """The name by which the service's code knows it."""
        return self._name

    @property
    def metadata(self) -> dict[str, Any]:
        """What was given beside its value."""
        return self._metadata

    @property
    def packed(self) -> bool:
        """Whether it was given a value."""
        return self.is_packed

    @property
    def loaded(self) -> bool:
        """Whether it was read from a bundle."""
        return self.is_loaded

    @property
    def is_ready(self) -> bool:
        """Whether it has a value."""
        return self.is_packed or self.is_loaded

    def copied(self) -> Self:
        """Return one that is made in the same way, and is empty."""
        positional, named = self._given
        return type(self)(*positional, **named)

    def pack(self, model: Any, metadata: dict[str, Any] | None = None) -> Self:
        """Give it its value."""
        if metadata is not None and not isinstance(metadata, dict):
            raise TypeError(f"metadata is a dict, not {metadata!r:.60}")
        self._value = model
        self._metadata = metadata or {}
        self.is_packed = True
        return self

    def get(self) -> Any:
        """Return its value."""
        return self._value

    def save(self, dst: str | Path) -> None:
        """Write its value into a folder."""
        self.dump(self._value, Path(dst))

    def load(self, path: str | Path) -> Self:
        """Read its value from a folder."""
        self._value = self.read(Path(path))
        return self

    def file_in(self, folder: Path) -> Path:
        """Return the file that it has in a folder."""
        return folder / self.name

    def dump(self, value: Any, folder: Path) -> None:
        """Write a value into a folder."""
        raise NotImplementedError(f"{type(self).__name__} has no `save`")

    def read(self, folder: Path) -> Any:
        """Return the value that a folder has."""
        raise NotImplementedError(f"{type(self).__name__} has no `load`")


class ArtifactCollection:
    """The artifacts of a service. An attribute, `artifacts.model`, is an artifact's value."""

    def __init__(self, service: str, declared: Iterable[BentoServiceArtifact]) -> None:
        self._service = service
        self._all = {each.name: each.copied() for each in declared}

    def __getattr__(self, name: str) -> Any:
        """Return the value of an artifact.

        Raises:
            AttributeError: there is none of that name.
            FailedPrecondition: it has no value yet.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._all:
            raise AttributeError(self._unknown(name))
        artifact = self._all[name]
        if not artifact.is_ready:
            raise FailedPrecondition(
                f"the artifact '{name}' of {self._service} has no value yet: "
                f"svc.pack('{name}', …) gives it one"
            )
        return artifact.get()

    def __getitem__(self, name: str) -> BentoServiceArtifact:
        """Return an artifact itself."""
        if name not in self._all:
            raise InvalidArgument(self._unknown(name))
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        """Give the names."""
        return iter(self._all)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is one of that name."""
        return name in self._all

    def get(self, item: str) -> BentoServiceArtifact:
        """Return an artifact itself."""
        return self[item]

    def get_artifact_list(self) -> list[BentoServiceArtifact]:
        """Return the artifacts themselves."""
        return list(self._all.values())

    def keys(self) -> list[str]:
        """Return the names."""
        return list(self._all)

    def items(self) -> list[tuple[str, BentoServiceArtifact]]:
        """Return the artifacts by their names."""
        return list(self._all.items())

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, self._all, n=1)
        has = f"it has: {', '.join(self._all)}" if self._all else "it declares none"
        hint = f"did you mean '{near[0]}'?" if near else has
        return f"{self._service} has no artifact '{name}': {hint}"

    def check_ready(self) -> None:
        """Raise unless each has a value.

        Raises:
            FailedPrecondition: one has none; the message names all of them.
        """
        empty = [name for name, each in self._all.items() if not each.is_ready]
        if empty:
            calls = ", ".join(f"svc.pack('{name}', …)" for name in empty)
            raise FailedPrecondition(
                f"{self._service} cannot be saved: {_listed(empty)} no value yet: {calls}"
            )

    def save(self, dst: str | Path) -> None:
        """Write all into the folder of artifacts below a service's.

        Raises:
            BentoMLException: one cannot be written.
        """
        folder = Path(dst) / ARTIFACTS_DIR_NAME
        folder.mkdir()
        for name, artifact in self._all.items():
            try:
                artifact.save(str(folder))
            except OSError:
                raise
            except Exception as error:
                raise BentoMLException(
                    f"the artifact '{name}' ({type(artifact).__name__}) cannot be saved: "
                    f"{type(error).__name__}: {error}"
                ) from error

    def load_all(self, folder: Path, python: str = "") -> None:
        """Read all from a folder. `python` is the version of Python that has written them.

        Raises:
            ArtifactLoadingException: one is not there, or cannot be read.
        """
        for name, artifact in self._all.items():
            try:
                artifact.load(str(folder))
            except (MissingDependencyException, ModuleNotFoundError):
                raise
            except FileNotFoundError as error:
                raise ArtifactLoadingException(
                    f"the artifact '{name}' is not in the bundle: {error.filename} is not there"
                ) from error
            except Exception as error:
                raise ArtifactLoadingException(
                    f"the artifact '{name}' ({type(artifact).__name__}) cannot be loaded: "
                    f"{type(error).__name__}: {error}{_written_by(python)}"
                ) from error
            artifact.is_loaded = True


def _listed(names: list[str]) -> str:
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"the artifact {quoted} has" if len(names) == 1 else f"the artifacts {quoted} have"


def _written_by(python: str) -> str:
    here = platform.python_version()
    if python in ("", here):
        return ""
    return f" (it was saved by Python {python}, this is Python {here})"

"""Artifacts of no framework's own: pickles, JSON, texts."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_runtime.bento.service.artifacts.base import BentoServiceArtifact

if TYPE_CHECKING:
    from model_runtime.older import Self

__all__ = ["JSONArtifact", "PickleArtifact", "TextFileArtifact"]


class PickleArtifact(BentoServiceArtifact):
    """What pickle can write.

    Args:
        name: its name.
        pickle_module: what has `dump` and `load`, or its name; None: cloudpickle, which writes what
            a script itself defines with its code.
    """

    def __init__(self, name: str, pickle_module: Any = None) -> None:
        super().__init__(name)
        self._module = pickle_module

    def file_in(self, folder: Path) -> Path:
        """See BentoServiceArtifact."""
        return folder / f"{self.name}.pkl"

    def dump(self, value: Any, folder: Path) -> None:
        """See BentoServiceArtifact."""
        with self.file_in(folder).open("wb") as file:
            self._pickle().dump(value, file)

    def read(self, folder: Path) -> Any:
        """See BentoServiceArtifact."""
        with self.file_in(folder).open("rb") as file:
            return self._pickle().load(file)

    def _pickle(self) -> Any:
        if self._module is None:
            return importlib.import_module("cloudpickle")
        return importlib.import_module(self._module) if type(self._module) is str else self._module


class _Text(BentoServiceArtifact):
    """What is a text file."""

    ending = ""

    def __init__(self, name: str, encoding: str = "utf-8") -> None:
        super().__init__(name)
        self._encoding = encoding

    def file_in(self, folder: Path) -> Path:
        """See BentoServiceArtifact."""
        return folder / (re.sub(r"[^-a-zA-Z0-9_.() ]+", "", self.name) + self.ending)

    def dump(self, value: Any, folder: Path) -> None:
        """See BentoServiceArtifact."""
        self.file_in(folder).write_text(self._written(value), self._encoding)

    def read(self, folder: Path) -> Any:
        """See BentoServiceArtifact."""
        return self._parsed(self.file_in(folder).read_text(self._encoding))

    def _written(self, value: Any) -> str:
        return str(value)

    def _parsed(self, text: str) -> Any:
        return text


class TextFileArtifact(_Text):
    """A text.

    Args:
        name: its name.
        file_extension: what its file ends in.
        encoding: how it is written.
    """

    def __init__(self, name: str, file_extension: str = ".txt", encoding: str = "utf-8") -> None:
        super().__init__(name, encoding)
        self.ending = file_extension


class JSONArtifact(_Text):
    """What has a form in JSON.

    Args:
        name: its name.
        encoding: how it is written.
        json_module: what has `dumps` and `loads`; None: Python's own.
    """

    ending = ".json"

    def __init__(self, name: str, encoding: str = "utf-8", json_module: Any = None) -> None:
        super().__init__(name, encoding)
        self._module = json if json_module is None else json_module
        self._settings: dict[str, Any] = {}

    def pack(self, model: Any, metadata: dict[str, Any] | None = None, **settings: Any) -> Self:
        """See BentoServiceArtifact; `settings` are those of `dumps`."""
        self._settings = settings
        return super().pack(model, metadata)

    def _written(self, value: Any) -> str:
        text: str = self._module.dumps(value, **self._settings)
        return text

    def _parsed(self, text: str) -> Any:
        return self._module.loads(text)

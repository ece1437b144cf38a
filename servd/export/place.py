"""Where an export is kept: a folder or a file. Finds what is not its own before it writes anything.

An export replaces what the one before it wrote, and removes what it does not write again. Files of
others, and own files that were changed by hand, are overwritten or left only where that was asked.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from servd.export.errors import NoExportError, OutputError
from servd.export.plan import SINGLE
from servd.export.settings import ExportSettings

_ELSEWHERE: Final = "choose another place with --out DIR or --single-file FILE"
_FORCE_HINT: Final = f"--force goes on all the same; or {_ELSEWHERE}"
_SHOWN: Final = 5
RECORD_FILE: Final = ".servd-export"
"""What a folder remembers of its export: `kubectl apply -f DIR` reads no file of this name."""
_MARK: Final = "# servd export-k8s "
"""Before it in the first line of an export in one file."""
_FORMAT: Final = 1
VARIABLES: Final = "\nvariables:\n"
"""What stands before the values of variables in a chart's values.yaml."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An export's settings and the digest of each of its files, by path."""

    settings: ExportSettings
    files: dict[str, str]
    format: int = _FORMAT


def decode_record(text: str) -> Record | None:
    """Return the record that a text holds; None: it is not one that this servd knows."""
    try:
        record = msgspec.json.decode(text, type=Record)
    except msgspec.MsgspecError:
        return None
    is_known = record.format == _FORMAT and all(map(_is_inside, record.files))
    return record if is_known else None


def _is_inside(name: str) -> bool:
    """Return whether a path stays in its folder: a record may have come with a repository."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def put_first_line(record: Record, text: str) -> str:
    """Return the text of an export in one file with its record before it."""
    return f"{_MARK}{msgspec.json.encode(record).decode()}\n{text}"


def take_first_line(content: str) -> tuple[Record | None, str]:
    """Return the record of an export in one file, if it is one, and its text without it."""
    line, _, text = content.partition("\n")
    if not line.startswith(_MARK):
        return None, content
    return decode_record(line.removeprefix(_MARK)), text


def digest(text: str) -> str:
    """Return what tells a file that was changed since it was written."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What there is at a place: its record, if it is an export, and the texts of the files."""

    record: Record | None
    files: Mapping[str, str]

    @property
    def edited(self) -> list[str]:
        """The files of the export that were changed since it was written."""
        known = self.record.files if self.record else {}
        return [
            name for name, text in self.files.items() if known.get(name) not in (None, digest(text))
        ]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, or a file where `is_file`."""

    path: Path
    is_file: bool

    def read(self) -> Written:
        """Return what is there; nothing at all where there is nothing.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            return self._read_file() if self.is_file else self._read_folder()
        except OSError as error:
            raise _refused(self.path, error) from error

    def read_export(self) -> tuple[Record, Written]:
        """Return the export that is there.

        Raises:
            NoExportError: there is none.
        """
        written = self.read()
        if written.record is None:
            raise NoExportError(
                f"there is no export in {self.path}", hint="servd export-k8s    makes one"
            )
        return written.record, written

    def check(self, settings: ExportSettings, *, force: bool) -> None:
        """Refuse a place that holds something else than an export as it was written.

        Raises:
            OutputError: it does; the message names the files.
        """
        if self.path.exists() and self.path.is_dir() == self.is_file:
            kind = "a file" if self.path.is_file() else "a folder"
            raise OutputError(f"{self.path} is {kind}", hint=_ELSEWHERE)
        written = self.read()
        if force:
            return
        self._check_foreign(written)
        if written.edited:
            raise OutputError(
                f"changed by hand since the export: {_listed(written.edited)}",
                hint=f"servd diff-k8s shows the changes; {_FORCE_HINT}",
            )
        known = written.record.settings if written.record else settings
        if known.form is not settings.form:
            raise OutputError(
                f"{self.path} holds an export of another form ({known.form})", hint=_FORCE_HINT
            )

    def write(self, settings: ExportSettings, files: Mapping[str, str]) -> list[str]:
        """Write an export and return the stale files of the one before it, which it removed.

        Raises:
            OutputError: it cannot be written.
        """
        digests = {name: digest(text) for name, text in files.items()}
        record = Record(settings=settings, files=digests)
        try:
            if self.is_file:
                _write(self.path, put_first_line(record, files[SINGLE]))
                return []
            stale = [name for name in self._recorded() if name not in files]
            for name, text in files.items():
                _write(self.path / name, text)
            # Before the record: an export that was cut off still knows all its files.
            for name in stale:
                (self.path / name).unlink(missing_ok=True)
            shown = msgspec.json.format(msgspec.json.encode(record), indent=2)
            _write(self.path / RECORD_FILE, f"{shown.decode()}\n")
        except OSError as error:
            raise _refused(self.path, error) from error
        return stale

    def _check_foreign(self, written: Written) -> None:
        own = written.record.files if written.record else {}
        foreign = [name for name in self._present() if name not in own]
        if foreign and self.is_file:
            raise OutputError(f"{self.path} is not an export", hint=_FORCE_HINT)
        if foreign:
            raise OutputError(
                f"{self.path} holds files that are not the export's: {_listed(foreign)}",
                hint=_FORCE_HINT,
            )

    def _present(self) -> list[str]:
        """Return the paths of all files that are there, the record aside."""
        if self.is_file:
            return [SINGLE] if self.path.exists() else []
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if not path.is_dir() and path != self.path / RECORD_FILE
        )

    def _recorded(self) -> Iterator[str]:
        written = self._read_folder()
        if written.record is not None:
            yield from written.record.files

    def _read_file(self) -> Written:
        if not self.path.exists():
            return Written(record=None, files={})
        record, text = take_first_line(self.path.read_text("utf-8", "replace"))
        return Written(record=record, files={SINGLE: text})

    def _read_folder(self) -> Written:
        path = self.path / RECORD_FILE
        record = decode_record(path.read_text("utf-8", "replace")) if path.is_file() else None
        files: dict[str, str] = {}
        for name in record.files if record else ():
            found = self.path / name
            if found.is_file():
                files[name] = found.read_text("utf-8", "replace")
        return Written(record=record, files=files)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; one with keys is for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".servd-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).chmod(0o600 if holds_secret(text) else 0o644)
        Path(draft).replace(path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise


def holds_secret(text: str) -> bool:
    """Return whether a file of an export holds keys, a token, or variables as a chart's values."""
    return any(mark in f"\n{text}" for mark in ("\nkind: Secret\n", VARIABLES))


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{error.filename or path} cannot be used: {error.strerror or error}",
        hint=_ELSEWHERE,
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown

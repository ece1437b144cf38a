"""What an export remembers of itself: its settings, and which files it wrote. Used by place.py.

A folder has it in a file of its own; one whose name `kubectl apply -f DIR` does not read. An export
in one file has it in its first line.
"""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

import msgspec

from servd.export.settings import ExportSettings

RECORD_FILE: Final = ".servd-export"
_MARK: Final = "# servd export-k8s "
_FORMAT: Final = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An export's settings and the digest of each of its files, by path."""

    settings: ExportSettings
    files: dict[str, str]
    format: int = _FORMAT


def make_record(settings: ExportSettings, files: Mapping[str, str]) -> Record:
    """Return the record of an export that is about to be written."""
    return Record(settings=settings, files={name: digest(text) for name, text in files.items()})


def encode_record(record: Record) -> str:
    """Return a record as the text of a folder's record file."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n"


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

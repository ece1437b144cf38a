"""What is given as `@FILE` or `-`: JSON, or a file that is sent as it is. Used by several verbs."""

import ast
import base64
import json
import mimetypes
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from servd.quantities import shown_bytes

BYTES: Final = "bytes"
"""The input type; what defines them all takes longer to import than a verb may."""

OCTETS: Final = "application/octet-stream"

LONGEST_EXAMPLE: Final = 512 * 1024
"""Of a file that is kept as an example, in base64, with the version and in what describes it."""


_LONGEST_SHOWN: Final = 200
"""Of what is no JSON, to be shown as it may have been meant."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that is an input; `path` is how it was given, "-" where it came from stdin."""

    path: str
    content: bytes

    @property
    def content_type(self) -> str:
        """What its name says that it is; never JSON, as which it would be read."""
        guessed = mimetypes.guess_type(self.path)[0] or OCTETS
        return OCTETS if "json" in guessed or guessed.startswith("multipart/") else guessed

    @property
    def base64(self) -> str:
        """Return it as JSON has it."""
        return base64.b64encode(self.content).decode()

    @property
    def curl_argument(self) -> str:
        """Return what has curl send it."""
        return f"--data-binary {shlex.quote(f'@{self.path}')}"


def read_input(value: str, *, is_of_bytes: bool) -> Any:
    """Return the JSON value of an argument, or of the file that it names; or that `File`.

    A file that is not JSON is one input, as is any where inputs are bytes.

    Raises:
        click.UsageError: it is not JSON and has to be, or the file cannot be read.
    """
    if not is_from_file(value):
        return _json(value)
    file = _read(value)
    if is_of_bytes or not _is_text(file.content):
        return file
    return _json(file.content)


def is_from_file(value: str) -> bool:
    """Return whether an argument says where the input is, and is not the input."""
    return value == "-" or value.startswith("@")


def _read(value: str) -> File:
    if value == "-":
        return File(value, sys.stdin.buffer.read())
    try:
        return File(value[1:], Path(value[1:]).read_bytes())
    except OSError as error:
        raise click.UsageError(f"{value[1:]}: {error.strerror}") from error


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _not_json("the input", text, error) from error


def _not_json(what: str, text: str | bytes, error: ValueError) -> click.UsageError:
    """Return an error that says how to write what was meant, where that is plain."""
    meant = _meant(text) if isinstance(text, str) and len(text) <= _LONGEST_SHOWN else None
    if meant is None:
        return click.UsageError(f"{what} is not JSON: {error}")
    return click.UsageError(f"{what} is not JSON; did you mean {shlex.quote(meant)}?")


def _meant(text: str) -> str | None:
    """Return the JSON of numbers without brackets, of Python's literals, and of bare words."""
    try:
        value = ast.literal_eval(text.strip())
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        pass
    is_words = all(part.isalpha() for part in text.split())
    return json.dumps(text, ensure_ascii=False) if text.strip() and is_words else None


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        # What JSON may be in besides, which its reader finds out.
        return content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:2]
    return True


def read_example(text: str | None, input_type: str | None) -> Any:
    """Return the example that is given as JSON or lies in a file, which may be the example itself.

    Raises:
        click.UsageError: it is neither, or is long.
    """
    if text is None:
        return None
    is_file = text.startswith("@")
    try:
        content: str | bytes = Path(text[1:]).read_bytes() if is_file else text
    except OSError as error:
        raise click.UsageError(f"--example {text}: {error.strerror}") from error
    is_of_bytes = is_file and input_type == BYTES
    try:
        value = json.loads(content)
    except ValueError as error:
        if isinstance(content, str) or (_is_text(content) and not is_of_bytes):
            raise _not_json("--example", content, error) from error
    else:
        if not is_of_bytes or isinstance(value, str):  # base64 text
            return value
    if len(content) > LONGEST_EXAMPLE:
        raise click.UsageError(
            f"--example {text}: the file has {shown_bytes(len(content))}, an example may have "
            f"{shown_bytes(LONGEST_EXAMPLE)}: give a smaller one"
        )
    return File(text[1:], content if isinstance(content, bytes) else content.encode())

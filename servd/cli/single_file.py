"""Where servd starts as one file (`make pex`); called by the file's own start, in its environment.

The file unpacks itself once into an environment below PEX_ROOT (~/.cache/pex), and runs in that.
"""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from servd.cli import main as command_line
from servd.errors import ServdError

_GIVEN: Final = Path("/proc/self/environ")
_FALLBACK: Final = "_PEX_ROOT_FALLBACK"
_OWN: Final = ("PEX", "__PEX_EXE__", "__PEX_UNVENDORED__", "_PEX_SHOULD_EXIT_VENV_REEXEC")


class NotUnpackedError(ServdError):
    """The file has nowhere to unpack itself."""

    code = "not_unpacked"


def main() -> None:
    """Run a command line in the environment that the user has."""
    is_temporary = _FALLBACK in os.environ
    restore(os.environ, _GIVEN)
    if is_temporary and not {"--version", "--help"}.intersection(sys.argv[1:]):
        # It goes when this command ends, and a daemon runs on in it.
        problem = NotUnpackedError(
            "the file cannot unpack itself: ~/.cache/pex, or what PEX_ROOT names, is not writable",
            hint=f"name a folder that can: PEX_ROOT=DIR {sys.argv[0]} {' '.join(sys.argv[1:])}",
        )
        sys.exit(command_line.report(problem, is_json="--json" in sys.argv))
    command_line.main()


def restore(environ: MutableMapping[str, str], given: Path) -> None:
    """Undo what the file's start does to the environment variables.

    It has VIRTUAL_ENV name the file's own environment, which would hide the user's, and takes
    PEX_… out, which other such files that a model starts need.
    """
    try:
        entries = given.read_bytes().split(b"\0")
    except OSError:
        environ.pop("VIRTUAL_ENV", None)
        return
    before = dict(os.fsdecode(entry).partition("=")[::2] for entry in entries if b"=" in entry)
    for name in ("VIRTUAL_ENV", *(name for name in before if name.startswith("PEX_"))):
        environ.pop(name, None)
        if name in before:
            environ[name] = before[name]
    for name in (*_OWN, _FALLBACK):
        environ.pop(name, None)

"""Runs what resolves, builds and installs: its lines to whoever waits, all of them to a log.

Used by tools.py. A builder ends with this process, however that ends (keeper.py), and with the wait
for it. What it says goes on without names and passwords.
"""

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from servd.environments.credentials import Secrets
from servd.environments.interpreter import MISLEADING
from servd.logs.printable import on_one_line
from servd.system.offspring import PRIVATE, offspring

Report = Callable[[str], None]
"""Is told, line by line, how it goes."""

_KEEPER: Final = Path(__file__).with_name("keeper.py")
_LAST: Final = 400
"""Lines that are kept of what a builder says."""
_MAX_LINE: Final = 4096
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_BAR: Final = re.compile(
    r"[\u2501\u2578\u257a\u2588-\u258f]{4,}|^\s*(?:\[notice\]|WARNING: (?:Location|Running pip as))"
)
_MISLEADING: Final = frozenset(
    {
        *MISLEADING,
        *("PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", "CONDA_PREFIX"),
        # They say where to install and what with: that is known here.
        *("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_DRY_RUN"),
        *("PIP_REPORT", "PIP_REQUIREMENT", "PIP_EDITABLE", "PIP_REQUIRE_VIRTUALENV", "PIP_QUIET"),
        *("PIP_VERBOSE", "PIP_LOG", "PIP_NO_DEPS", "PIP_UPGRADE", "PIP_IGNORE_INSTALLED"),
        *("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX", "UV_PROJECT"),
        *("UV_PROJECT_ENVIRONMENT", "UV_WORKING_DIRECTORY", "UV_WORKING_DIR", "UV_VENV_SEED"),
        *("UV_REQUIRE_HASHES", "UV_NO_DEPS", "UV_CUSTOM_COMPILE_COMMAND"),
    }
)
"""Variables that would have a builder do another thing than it is asked to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program has ended: its status, as a shell tells it, and its last lines."""

    status: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """What it has said last."""
        return "\n".join(self.lines)


class Runner:
    """Runs programs with one log. `scratch` is where they and their parts have temporary files."""

    def __init__(
        self, log_path: Path, scratch: Path, environ: Mapping[str, str], secrets: Secrets
    ) -> None:
        self.log_path = log_path
        self.scratch = scratch
        self.secrets = secrets
        self._process: subprocess.Popen[bytes] | None = None
        kept = {name: text for name, text in environ.items() if name not in _MISLEADING | PRIVATE}
        self._environ = kept | {
            "TMPDIR": str(scratch),
            "PYTHONUNBUFFERED": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
            "GIT_TERMINAL_PROMPT": "0",
            "NO_COLOR": "1",
            # Equal sources make equal wheels.
            "SOURCE_DATE_EPOCH": environ.get("SOURCE_DATE_EPOCH") or "315532800",
        }

    def run(
        self, command: Sequence[str], report: Report, extra: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run a program to its end and return how that was; `extra` are variables of its own."""
        last: deque[str] = deque(maxlen=_LAST)
        with _log(self.log_path) as log:
            _write(log, f"$ {self.secrets.hide(' '.join(command))}")
            with self._started(command, extra or {}) as process:
                self._process = process
                for line in _lines(process.stdout):
                    said = on_one_line(self.secrets.hide(line)).replace(f"{self.scratch}/", "")
                    last.append(said)
                    _write(log, said)
                    if said.strip() and not _BAR.search(said):
                        report(said.strip())
                status = process.wait()
            _write(log, f"# ended with {status}")
        return Outcome(status, tuple(last))

    def end(self) -> None:
        """End what runs now, at once. Called from another thread."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, ValueError):
                process.stdin.close()

    def _started(self, command: Sequence[str], extra: Mapping[str, str]) -> "_Kept":
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.scratch,
            env={**self._environ, **extra},
            start_new_session=True,  # Ctrl-C is for who waits, and ends it by that
        )
        offspring.own(process.pid)
        return _Kept(process)


class _Kept:
    """A program under a keeper; at the end of the block it has ended, whatever happened in it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *exc_info: object) -> None:
        process = self._process
        if process.stdin is not None:
            with suppress(OSError, ValueError):
                process.stdin.close()  # the keeper ends all that is left
        if process.stdout is not None:
            process.stdout.close()
        process.wait()
        offspring.disown(process.pid)


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    """Yield what is said line by line; a bar that is drawn over itself is told as it ends."""
    while stream is not None and (raw := stream.readline(_MAX_LINE)):
        line = _ESCAPES.sub("", raw.decode(errors="replace")).rstrip("\r\n")
        yield line.rpartition("\r")[2].rstrip()


@contextmanager
def _log(path: Path) -> Iterator[IO[str] | None]:
    """Yield a log to append to; none where it cannot be written, as on a full disk."""
    file = None
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        file = os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace")
    try:
        yield file
    finally:
        if file is not None:
            with suppress(OSError):
                file.close()


def _write(log: IO[str] | None, line: str) -> None:
    if log is not None:
        with suppress(OSError):
            log.write(f"{line}\n")
            log.flush()

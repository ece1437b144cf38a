"""Loads a target once in a fresh process and hears what it needs. Used by targets.py.

The process is model_runtime/discover.py, in the user's own folder; nothing of the user's runs here.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from model_runtime.contract import PARENT_VARIABLE
from servd.datatypes import Variables
from servd.environments import runtime
from servd.environments.interpreter import Interpreter, own
from servd.errors import TargetError
from servd.finding.watching import OpenWatch

_LOAD_S: Final = 10
"""How long a class may take to make its instance here; what it has opened until then counts."""
_LOOK_S: Final = 0.25
_EVENTS: Final = ("opened", "listed", "written", "entered", "own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to load, and how: `first` and `last` are folders for sys.path, `cwd` where to run.

    An instance of a class is made with `parameters`. `interpreter` runs it, with the variables that
    its replicas will have.
    """

    interpreter: Interpreter = field(default_factory=own)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    file: Path
    cwd: Path
    area: Path
    object: str | None = None
    method: str = "predict"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_pickle: bool = False
    first: Sequence[Path] = ()
    last: Sequence[Path] = ()


@dataclass(slots=True)
class Heard:
    """What the process told: what the file holds, what was imported and opened.

    `seen` are files that the kernel told of, whoever opened them.
    """

    found: dict[str, Any] | None = None
    loaded: dict[str, Any] = field(default_factory=dict)
    load_error: dict[str, Any] | None = None
    opened: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    entered: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    @property
    def modules(self) -> dict[str, str]:
        """Name and file of what was imported."""
        return {**((self.found or {}).get("modules") or {}), **(self.loaded.get("modules") or {})}

    @property
    def before(self) -> list[str]:
        """Top-level modules that a replica has imported before it comes to the model."""
        return (self.loaded or self.found or {}).get("before") or []

    @property
    def packages(self) -> dict[str, dict[str, str]]:
        """Names and versions of the packages that brought a top-level module."""
        return {**((self.found or {}).get("packages") or {}), **(self.loaded.get("packages") or {})}

    @property
    def error(self) -> dict[str, Any] | None:
        """What the file raised when it was imported, or its object when it was made."""
        return (self.found or {}).get("error") or self.load_error


def load(what: Load, timeout_s: float) -> Heard:
    """Load a target in a process of its own; a Python file may take `timeout_s` to be imported.

    Raises:
        TargetError: it did not end in time, or ended the process.
    """
    # Files and not pipes: a process that the model starts would hold a pipe open for ever.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        with OpenWatch(what.area) as watch:
            process = _start(what, timeout_s, output, messages)
            try:
                is_over = _wait(process, timeout_s, watch)
                if not is_over and _understood(_so_far(output)).found:
                    is_over = _wait(process, _LOAD_S, watch)
            finally:
                _end_group(process)
        heard = _understood(_content(output))
        own_variables = Variables(what.variables)
        if heard.found is not None:
            heard.found = own_variables.hide(heard.found)
        heard.load_error = own_variables.hide(heard.load_error)
        heard.seen = watch.opened
        if not (is_over or heard.found):
            raise TargetError(
                f"{what.file.name} was still loading after {timeout_s:g} s",
                hint="does it wait for something, or work at its top level? "
                "SERVD_LOAD_TIMEOUT gives it more time",
            )
        if heard.found is None and not what.is_pickle:
            said = own_variables.hide(_content(messages).decode("utf-8", "replace"))
            raise _ended(what.file, process.returncode, said)
        return heard


def _start(
    what: Load, timeout_s: float, output: IO[bytes], messages: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _command(what, timeout_s),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=messages,
        cwd=what.cwd,
        env=runtime.variables(what.interpreter, os.environ)
        | dict(what.variables)
        | {PARENT_VARIABLE: str(os.getpid())},
        start_new_session=True,
    )


def _command(what: Load, timeout_s: float) -> list[str]:
    command = [f"--first={folder}" for folder in what.first]
    command += [f"--path={folder}" for folder in what.last]
    command += [f"--method={what.method}", f"--load-for={min(_LOAD_S, int(timeout_s))}"]
    if what.parameters:
        command.append(f"--parameters={json.dumps(what.parameters)}")
    if what.is_pickle:
        command.append("--pickle")
    command += ["--", str(what.file), *([what.object] if what.object else [])]
    return runtime.command(what.interpreter, "model_runtime.discover", *command)


def _wait(process: subprocess.Popen[bytes], timeout_s: float, watch: OpenWatch) -> bool:
    """Wait until the process has ended; False where it has not after the time."""
    end_s = time.monotonic() + timeout_s
    while (left_s := end_s - time.monotonic()) > 0:
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(_LOOK_S, left_s))
            return True
        watch.drain()
    return False


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process with whatever it started; it leads its own group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _so_far(file: IO[bytes]) -> bytes:
    """Return what a running process has written; it goes on writing where it was."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def _understood(output: bytes) -> Heard:
    """Return what the lines say; the last may have been cut by the process's end."""
    heard = Heard()
    for line in output.splitlines():
        try:
            told: Any = json.loads(line)
        except ValueError:
            continue
        if not isinstance(told, dict):  # an environment may print what it likes as it starts
            continue
        for event in _EVENTS:
            getattr(heard, event).extend(told.get(event, ()))
        if "loaded" in told:
            heard.loaded = told["loaded"]
        elif "load_error" in told:
            heard.load_error = told["load_error"]
        elif told.keys().isdisjoint(_EVENTS):
            heard.found = told
    return heard


def _ended(file: Path, code: int, messages: str) -> TargetError:
    text = messages.strip()
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return TargetError(
        f"{file.name} ended the process that loaded it ({how})",
        traceback="\n".join(text.splitlines()[-10:]),
    )

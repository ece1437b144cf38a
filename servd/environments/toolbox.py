"""The tools that there are, ready to work: uv, or pip in an environment beside. Used by store.py.

A job has a log of its own, a folder for what it wants meanwhile, and what its addresses say of
names and passwords is hidden in all that it says.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from servd.environments import pip_settings
from servd.environments.credentials import Secrets, of_environment
from servd.environments.failures import EnvironmentFailedError
from servd.environments.interpreter import Interpreter, own
from servd.environments.pythons import base_of
from servd.environments.running import Report, Runner
from servd.environments.shelf import Shelf
from servd.environments.tools import Pip, Tool, Uv, Work, find_uv

_KEY_LETTERS: Final = 16


class Toolbox:
    """The tools by a folder, in which what they need lies. `environ` says which uv, which index."""

    def __init__(self, folder: Path, logs: Path, environ: Mapping[str, str]) -> None:
        self._shelf = Shelf(folder, lambda each, _note: (each / "bin" / "python").exists())
        self._logs = logs
        self._environ = environ
        self._pip = Pip(folder, self._prepared)
        self._tool: Tool | None = None
        self._runners: set[Runner] = set()

    def tool(self, report: Report) -> Tool:
        """Return uv where there is one that works, else pip."""
        if self._tool is None:
            found = find_uv(self._environ, report)
            self._tool = Uv(*found, self._environ, self._pip) if found else self._pip
        return self._tool

    @contextmanager
    def work(
        self, name: str, interpreter: Interpreter, report: Report, texts: Iterable[str]
    ) -> Iterator[Work]:
        """Yield a job. `name` is its log's, `texts` what may have names and passwords in it."""
        told = pip_settings.settings(self._environ).values()
        hidden = Secrets([*texts, *told, *of_environment(self._environ)])
        log_path = self._logs / f"{name}.log"
        log_path.unlink(missing_ok=True)
        with self._shelf.scratch() as scratch:
            runner = Runner(log_path, scratch, self._environ, hidden)
            self._runners.add(runner)
            try:
                yield Work(interpreter, runner, report)
            finally:
                self._runners.discard(runner)

    def end(self) -> None:
        """End all that runs, at once: who waits for it fails."""
        for runner in list(self._runners):
            runner.end()

    def tidy(self) -> None:
        """Remove what killed processes have left."""
        self._shelf.tidy()

    def _prepared(self, work: Work) -> list[str]:
        """Return pip's command for an interpreter.

        Of servd's own series it is servd's own pip, which is known to run there; any other Python
        gets an environment with its own pip, once.
        """
        if work.interpreter.series == own().series and own().has_module("pip"):
            return self._lent(work)
        base = base_of(work.interpreter)
        seed = f"{base}\0{work.interpreter.version}"
        key = f"pip-{hashlib.sha256(seed.encode()).hexdigest()[:_KEY_LETTERS]}"

        def fill(folder: Path) -> Mapping[str, Any]:
            work.report(f"preparing pip for Python {work.interpreter.version}")
            outcome = work.runner.run([str(base), "-m", "venv", str(folder)], lambda _line: None)
            if outcome.status:
                raise _NoPipError
            return {"python": work.interpreter.version}

        try:
            self._shelf.make(key, fill, lambda: work.report("waiting for pip to be prepared"))
        except _NoPipError:
            return self._lent(work)
        return [str(self._shelf.path(key) / "bin" / "python"), "-m", "pip"]

    def _lent(self, work: Work) -> list[str]:
        """Return servd's own pip, run by another Python: Debian's makes no environment with one.

        Raises:
            EnvironmentFailedError: servd has none.
        """
        if not own().has_module("pip"):
            raise EnvironmentFailedError(
                f"Python {work.interpreter.version} ({work.interpreter.path}) makes no environments"
                " with pip, and there is no uv",
                hint="install uv (pip install uv), or Python's venv (on Debian: apt-get install "
                "python3-venv)",
            )
        return [sys.executable, "-P", "-m", "pip", "--python", str(base_of(work.interpreter))]


class _NoPipError(Exception):
    """A Python makes no environment with pip in it."""

"""A model called as a replica calls it, in a process of its own and without a daemon.

Used by `servd test` and servd.testing. The target is bundled as for a deployment; the process is
model_runtime/trial.py.
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from model_runtime.contract import THREAD_VARIABLES
from model_runtime.manifest import WEB_KINDS
from servd.client import wanted
from servd.client.objects import as_target
from servd.client.queries import plain
from servd.client.report import with_notes
from servd.client.wanted import UNSET
from servd.config import load_config
from servd.environments import runtime
from servd.environments.interpreter import Interpreter
from servd.environments.store import Environments, quiet
from servd.errors import LoadFailedError, ServdError, TargetError
from servd.packing import bundling
from servd.packing.bundling import BundleOptions, BundlePlan
from servd.packing.environment import Workshop
from servd.packing.targets import Target
from servd.system.temporary import temporary_folder

_END_S: Final = 5.0
_TOLD: Final = frozenset({"loaded", "error", "outcomes"})
_NOT_GIVEN: Final[Mapping[str, Any]] = {
    "input_type": None,
    "columns": None,
    "schema": None,
    "example": UNSET,
    "extra_columns": None,
    "output": None,
    "concurrency": None,
    "method": None,
    "skip_test": False,
    "include": (),
    "parameters": None,
    "loader": None,
    "trust": (),
    "architecture": None,
    "task": None,
    "env": None,
    "requirements": None,
    "python": None,
    "env_vars": (),
}


class ModelError(ServdError):
    """What a model raised on an input, with its traceback; `detail` says which part was wrong."""

    code = "model_failed"
    status = 500

    def __init__(
        self, problem: dict[str, Any], *, is_input: bool = False, detail: Any = ()
    ) -> None:
        super().__init__(
            str(problem.get("message", "")),
            hint=str(problem.get("hint") or ""),
            # Of what an input lacks no frame of the model's tells.
            traceback="" if is_input else str(problem.get("traceback") or ""),
        )
        self.is_input = is_input
        self.detail = list(detail)


class Trial:
    """A loaded model. `predict` and `predict_batch` call it as a replica would.

    `signature` is what it says of its inputs and outputs, `test` what came of its test call.
    """

    def __init__(
        self, plan: BundlePlan, process: "subprocess.Popen[str]", timeout_s: float
    ) -> None:
        self.plan = plan
        self._process = process
        self._timeout_s = timeout_s
        self.input_type = ""
        self.signature: dict[str, Any] | None = None
        self.test: dict[str, Any] = {}
        self.load_ms = 0.0
        self.duration_ms = 0.0
        """What the last call took."""

    def load(self) -> None:
        """Wait until it has loaded and answered its test call; `loaded` calls it.

        Raises:
            LoadFailedError: it did not; the message says why.
        """
        told = self._hear()
        if "error" in told:
            problem = told["error"]
            message = str(problem.get("message", ""))
            hint = self.plan.failure_hint(message, Path.cwd()) or str(problem.get("hint") or "")
            raise LoadFailedError(message, hint=hint, traceback=problem.get("traceback") or "")
        loaded = told["loaded"]
        self.input_type = loaded["input_type"]
        self.signature = loaded.get("signature")
        self.test = loaded.get("test") or {}
        self.load_ms = loaded["load_ms"]

    def predict(self, input: Any) -> Any:  # noqa: A002 - the query API's own word
        """Return the model's output for one input.

        Raises:
            ModelError: it raised.
            LoadFailedError: its process has ended.
        """
        return self.predict_batch([input])[0]

    def predict_batch(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the outputs for several inputs, in one call where the model takes lists.

        Raises:
            ModelError: it raised; of several inputs the first that failed.
            LoadFailedError: its process has ended.
        """
        outcomes = self.outcomes(inputs)
        for each in outcomes:
            if "error" in each:
                is_input, detail = each.get("is_input", False), each.get("detail", ())
                raise ModelError(each["error"], is_input=is_input, detail=detail)
        return [each["output"] for each in outcomes]

    def outcomes(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Return what came of each input: an `output`, or an `error`."""
        text = json.dumps([plain(each) for each in inputs])
        pipe = self._process.stdin
        with suppress(BrokenPipeError):
            if pipe is not None:
                pipe.write(text + "\n")
                pipe.flush()
        told = self._hear()
        self.duration_ms = told["duration_ms"]
        outcomes: list[dict[str, Any]] = told["outcomes"]
        return outcomes

    def _hear(self) -> dict[str, Any]:
        pipe = self._process.stdout
        watch = threading.Timer(self._timeout_s, self._process.kill)
        watch.start()
        try:
            told = None if pipe is None else _told_in(pipe)
        finally:
            is_late = not watch.is_alive()
            watch.cancel()
        if told is not None:
            return told
        code = self._process.wait()
        how = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        if is_late:
            how = f"nothing came of it within {self._timeout_s:g} s"
        raise LoadFailedError(f"the model's process has ended ({how})")


def _told_in(lines: Iterable[str]) -> dict[str, Any] | None:
    """Return the next thing that is told; None at the end.

    What an environment prints when its Python starts (sitecustomize, .pth files) comes before it.
    """
    for line in lines:
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and not _TOLD.isdisjoint(told):
                return told
    return None


@contextmanager
def loaded(
    target: Any, *, timeout_s: float = 120.0, max_batch: int = -1, **options: Any
) -> Iterator[Trial]:
    """Yield a target's model, loaded and test-called as in a replica.

    Args:
        target: as of `Client.deploy`: a path, "file.py:name", a function, a class, a model.
        timeout_s: how long loading may take, and then each call.
        max_batch: 1: the test call has one input only.
        options: those of `Client.deploy` that say what is in a bundle: input_type, example, …

    Raises:
        TargetError: it cannot be deployed.
        LoadFailedError: it did not load, or did not answer its test call.
    """
    unknown = options.keys() - _NOT_GIVEN
    if unknown:
        raise TypeError(f"loaded() has no option {', '.join(sorted(unknown))}")
    given = wanted.bundle_options({**_NOT_GIVEN, **options}, timeout_s)
    config = load_config({}, os.environ, Path.cwd())
    workshop = Workshop(Environments(config.environments_dir), quiet)
    with (
        with_notes(),
        as_target(target, None, given.method) as found,
        trying(found, given, workshop, timeout_s=timeout_s, max_batch=max_batch) as trial,
    ):
        trial.load()
        yield trial


@contextmanager
def trying(
    target: Target,
    options: BundleOptions,
    workshop: Workshop,
    *,
    timeout_s: float,
    max_batch: int = -1,
) -> Iterator[Trial]:
    """Yield the model of a bundled target, which has still to `load`.

    Raises:
        TargetError: it cannot be deployed.
        ServdError: its environment cannot be had.
    """
    plan = bundling.plan_bundle(target, options, Path.cwd(), workshop)
    if plan.manifest.kind in WEB_KINDS:
        raise TargetError(
            f"{target.path.name}:{plan.found.object} is a web application, which is not called: it "
            "answers requests",
            hint="its framework has a client for tests; servd deploy runs it",
        )
    with temporary_folder("test") as folder:
        for name in ("bundle", "work"):
            (folder / name).mkdir()
        bundling.build(plan, folder / "bundle")
        environment = _environment(plan.environment.interpreter) | dict(options.variables)
        with _process(folder, max_batch, plan.environment.interpreter, environment) as process:
            yield Trial(plan, process, timeout_s)


@contextmanager
def _process(
    folder: Path, max_batch: int, interpreter: Interpreter, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    given = [f"--work={folder / 'work'}", f"--max-batch={max_batch}", str(folder / "bundle")]
    with subprocess.Popen(
        runtime.command(interpreter, "model_runtime.trial", *given),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder / "work",
        env=environment,
        start_new_session=True,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _environment(interpreter: Interpreter) -> dict[str, str]:
    """Return what a replica has for an environment, as far as models can tell."""
    there = runtime.variables(interpreter, os.environ)
    return dict.fromkeys(THREAD_VARIABLES, "1") | {**there, "PYTHONUNBUFFERED": "1"}


def _end(process: "subprocess.Popen[str]") -> None:
    """End the process with what it has started."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)

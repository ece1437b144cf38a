"""Brings the daemon up in the background and waits until it answers or says why it does not.

Used by `servd start`, by `servd deploy` where no daemon runs, and by the clients.
"""

import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from servd.client import calls
from servd.client.admin import AdminClient, find_daemon
from servd.config import Config
from servd.errors import DaemonNotRunningError, StartError

_START_TIMEOUT_S: Final = 30.0
_TAIL_BYTES: Final = 2000
_LOADED_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.05


def running_daemon(config: Config) -> dict[str, Any] | None:
    """Return the status of the daemon on this data directory, or None where none answers.

    A daemon.json that a killed daemon left behind does not count: only an answer does.
    """
    try:
        status: dict[str, Any] = find_daemon(config).get("/status")
    except DaemonNotRunningError:
        return None
    return status


def start_daemon(
    config: Config,
    flags: Mapping[str, object | None],
    *,
    is_forced: bool = False,
    environ: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Return the status of the daemon and whether this call is what started it.

    `environ` is what it gets in the place of this process's environment.

    Raises:
        StartError: it could not be started; the message says why.
    """
    for folder in (config.data_dir, config.logs_dir):
        _make_folder(folder)
    with _one_at_a_time(config.data_dir / "start.lock"):
        status = running_daemon(config)
        if status is not None:
            return status, False
        more = ("--force",) if is_forced else ()
        process, ready = _spawn(config, flags, more, os.environ if environ is None else environ)
        failure = _wait_until_ready(process, ready, config)
        status = running_daemon(config)
        if status is None:
            raise failure or StartError(
                "the daemon ended right after it was ready", hint=_log_hint(config)
            )
        return status, failure is None


def wait_until_loaded(client: AdminClient, status: dict[str, Any]) -> dict[str, Any]:
    """Return the daemon's status once the models that it began with are up, or after ten seconds.

    `status` is what it was; a client of its admin API is asked for more.
    """
    deadline_s = time.monotonic() + _LOADED_WITHIN_S
    while status.get("loading") and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        status = client.ask(calls.status())
    return status


def as_arguments(settings: Mapping[str, object | None]) -> list[str]:
    """Return the command line that gives these settings to another `servd`."""
    arguments: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            arguments.extend(word for each in value for word in (f"--{flag}", str(each)))
        elif value is not None:
            arguments.extend((f"--{flag}", str(value)))
    return arguments


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(error) from error


def _not_writable(error: OSError) -> StartError:
    return StartError(
        f"the data directory cannot be written: {error.filename}: {error.strerror}",
        hint="give another one: --data-dir DIR",
    )


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Make a second `servd start` wait for the first, then find the daemon running."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_writable(error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _spawn(
    config: Config,
    flags: Mapping[str, object | None],
    more: tuple[str, ...],
    environ: Mapping[str, str],
) -> tuple[subprocess.Popen[bytes], int]:
    given = {**flags, "data_dir": config.data_dir}
    try:
        log = os.fdopen(_open_private(_output_path(config)), "ab")
    except OSError as error:
        raise _not_writable(error) from error
    ready, write_end = os.pipe()
    # -P: the working directory is not searched for modules, whatever lies in it.
    command = [sys.executable, "-P", "-m", "servd", "run", *as_arguments(given), *more]
    with log:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(write_end,),
                env={**environ, "SERVD_READY_FD": str(write_end)},
            )
        finally:
            os.close(write_end)
    return process, ready


def _open_private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _wait_until_ready(
    process: subprocess.Popen[bytes], ready: int, config: Config
) -> StartError | None:
    """Return None when the daemon said that it is ready, else the reason why not."""
    with os.fdopen(ready, "rb", buffering=0) as pipe:
        said = b""
        while select.select([pipe], [], [], _START_TIMEOUT_S)[0]:
            chunk = pipe.read(65536)
            if not chunk:
                break
            said += chunk
        else:
            process.kill()
            process.wait()
            return StartError(
                f"the daemon was not ready within {_START_TIMEOUT_S:g} s", hint=_log_hint(config)
            )
    if said.strip() == b"ready":
        # The daemon outlives this process on purpose; Popen must not warn of that.
        process.returncode = 0
        return None
    process.wait()
    return _reason(said, process.returncode, config)


def _reason(said: bytes, code: int, config: Config) -> StartError:
    try:
        problem = json.loads(said)
        return StartError(str(problem["error"]), hint=str(problem.get("hint") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return StartError(
            f"the daemon ended with code {code} before it was ready",
            hint=_log_hint(config),
            traceback=_last_output(config),
        )


def _output_path(config: Config) -> Path:
    return config.logs_dir / "daemon.out"


def _log_hint(config: Config) -> str:
    return f"its output is in {_output_path(config)}"


def _last_output(config: Config) -> str:
    content = _output_path(config).read_bytes()[-_TAIL_BYTES:]
    return "\n".join(content.decode("utf-8", "replace").splitlines()[-12:])

"""Replicas as processes of this machine: `python -m model_runtime`. Made by processes/daemon.py."""

import asyncio
import errno
import os
import pwd
import re
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from model_runtime.carriers import FILE_SCHEME, STREAM_SCHEME
from model_runtime.contract import (
    ALL_THREAD_VARIABLES,
    HIDDEN_VARIABLE,
    PARENT_VARIABLE,
    THREAD_VARIABLES,
)
from servd.datatypes import ModelVersion, VersionId
from servd.environments import runtime
from servd.environments.interpreter import Interpreter, InterpreterError
from servd.errors import BundleError, InvalidValueError
from servd.logs.log import tail
from servd.logs.pump import LogPump, Output
from servd.registry.limits import out_of_memory, over_limit, threads_of
from servd.replicas.homes import Homes, Tell
from servd.replicas.launchers.base import ImageFacts, LaunchSpec, describe_exit
from servd.replicas.launchers.cgroups import Group, new_group
from servd.replicas.launchers.device_choice import Chosen, check_device_here, choose
from servd.replicas.launchers.orphans import NAME_VARIABLE
from servd.replicas.launchers.process_limits import Kept, ProcessLimits
from servd.system.devices import Devices
from servd.system.offspring import PRIVATE, has_in_environment, offspring

_SCHEMES: Final = {"auto": STREAM_SCHEME, "unix": STREAM_SCHEME, "zmq": FILE_SCHEME}
"""By the setting `carrier`. A stream answers more queries a second than ZeroMQ (docs/adr/0005)."""


_LAST_LINES: Final = 30
_OF_MEMORY: Final = re.compile(
    r"\bMemoryError\b|\bbad_alloc\b|Cannot allocate memory|can't start new thread"
    r"|out of memory|Memory allocation still failed",
    re.IGNORECASE,
)
"""What programs print that were given no more memory, and end of it."""


_OF_PROGRAMS: Final = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Traces:
    """By what that is known that a replica has started: its name, its output, its group if any."""

    name: str
    pump: LogPump
    output: Output
    group: Group | None


@dataclass(slots=True)
class Seat:
    """What a replica was given: a device if it asked for one, and what it is `kept` to by `limits`.

    `log_start` is where in its log it begins.
    """

    spec: LaunchSpec
    log_start: int
    chosen: Chosen | None = None
    kept: Kept = field(default_factory=Kept)
    limits: ProcessLimits | None = None


class ProcessHandle:
    """One replica process, the leader of its own session."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        address: str,
        scratch: Path,
        traces: Traces,
        seat: Seat,
    ) -> None:
        self._seat = seat
        self.address = address
        self._process = process
        self._scratch = scratch
        self._traces = traces

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def end_reason(self) -> str:
        """That it ran out of the memory that it may use, if it did; else the status says all."""
        code, seat, group = self._process.returncode, self._seat, self._traces.group
        size = seat.spec.version.memory_bytes
        if not code or size is None:
            return ""
        if code == -signal.SIGKILL and group is not None and group.has_run_out():
            return out_of_memory(size)
        if not seat.kept.has_memory_limit:
            return ""
        said = tail(seat.spec.log_path, _LAST_LINES, start=seat.log_start)
        if _OF_MEMORY.search("\n".join(said)) is None:
            return ""
        return f"{describe_exit(code)}: {over_limit(size)}"

    @property
    def device(self) -> str | None:
        """What it was given to compute on."""
        return None if self._seat.chosen is None else str(self._seat.chosen)

    @property
    def limits(self) -> tuple[str, ...]:
        """What it may use, and by what that is kept."""
        return self._seat.kept.words

    @property
    def memory_bytes(self) -> int | None:
        """None: its process id tells it."""
        return None

    async def wait(self) -> int:
        """Return the exit status when it has ended and its last words are in its log."""
        code = await self._process.wait()
        await asyncio.to_thread(self._traces.output.drain)
        return code

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.returncode

    def terminate(self) -> None:
        """Ask it to drain and end."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    def keep(self, limits: ProcessLimits) -> None:
        """Keep it to what its version may use. Called right after its start.

        Raises:
            OSError: the kernel refuses that.
        """
        seat = self._seat
        with suppress(ProcessLookupError):  # it has ended, which will be seen
            seat.kept = limits.keep(self.pid, seat.spec.version, self._traces.group)
            seat.limits = limits

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process.returncode is None:
            self._kill_group()

    def cleanup(self) -> None:
        """End what it has left behind, also in sessions of its own; remove its files."""
        self._kill_group()
        group = self._traces.group
        if group is not None:
            group.end()
        offspring.end(self._has_started)
        offspring.disown(self._process.pid)
        if group is not None:
            group.remove_soon()
        self._traces.pump.close(self._traces.output)
        if self._seat.limits is not None:
            self._seat.limits.release(self._seat.kept)
            self._seat.limits = None
        path = self.address.partition("://")[2]
        for suffix in ("", ".http"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _has_started(self, pid: int) -> bool:
        """Whether a process that was left behind comes from this replica."""
        if has_in_environment(pid, f"{NAME_VARIABLE}={self._traces.name}"):
            return True
        with suppress(OSError):
            if os.getsid(pid) == self._process.pid:
                return True
        for number in (1, 2):  # its output
            with suppress(OSError):
                if str(Path(f"/proc/{pid}/fd/{number}").readlink()) == self._traces.output.name:
                    return True
        return False

    def _kill_group(self) -> None:
        # The process leads its group, which lives on while any child of the model does.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What replica processes have around them.

    A replica works in a folder of its own below `scratch_dir` (by default below the sockets'),
    which ends with it. `carrier` is what their sockets are: the setting of that name. `devices` are
    those of this machine, `homes` the environments that versions run in.
    """

    scratch_dir: Path | None = None
    carrier: str = "auto"
    devices: Devices | None = None
    homes: Homes | None = None


class ProcessLauncher:
    """Launches replica processes whose sockets lie below `run_dir`, one device each in turn.

    `users_mask` is the file mode creation mask that models get; None: this process's own.
    """

    def __init__(
        self,
        run_dir: Path,
        environ: Mapping[str, str],
        users_mask: int | None = None,
        *,
        around: Around | None = None,
    ) -> None:
        around = around or Around()
        self._run_dir = run_dir
        self._scratch_dir = around.scratch_dir or run_dir / "scratch"
        self._environ = environ
        self._users_mask = users_mask
        self._scheme = _SCHEMES[around.carrier]
        self._devices = around.devices or Devices(environ)
        self._homes = around.homes or Homes()
        self._limits = ProcessLimits()
        self._pump = LogPump()

    async def check(self, version: ModelVersion) -> None:
        """Raise where this machine has no device that a version wants.

        Raises:
            InvalidValueError: it has none.
        """
        if version.device is not None:
            check_device_here(version, await asyncio.to_thread(self._devices.find))

    def prepared(
        self, version: ModelVersion, bundle_dir: Path, tell: Tell
    ) -> AbstractAsyncContextManager[object]:
        """Have a version's environment, which is built if it is not there.

        Raises:
            ServdError: it cannot be built; says why and what to do.
        """
        return self._homes.kept(version, bundle_dir, tell)

    def doing(self, version_id: VersionId) -> str | None:
        """Return how the building of a version's environment goes, where it is built."""
        return self._homes.doing(version_id)

    async def launch(self, spec: LaunchSpec) -> ProcessHandle:
        """Start one replica process.

        Raises:
            OSError: no process, file or folder can be made.
            BundleError: the version's files are not there.
            InvalidValueError: it wants a device that is not here.
            InterpreterError: the Python that it is to run in is not there, or does not start.
            EnvironmentFailedError: its environment is not there and cannot be built.
        """
        _check_files(spec)
        interpreter = await self._homes.interpreter(spec.version, spec.bundle_dir)
        chosen = await self._choose(spec)
        name = secrets.token_hex(5)
        socket = self._run_dir / "r" / f"{name}.sock"
        scratch = self._scratch_dir / name
        for folder in (socket.parent, scratch, spec.log_path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = self._pump.open(spec.log_path, spec.variables.secrets)
        # In an environment of the model's own there may be no ZeroMQ.
        address = f"{self._scheme if interpreter.is_own else STREAM_SCHEME}{socket}"
        traces = Traces(name, self._pump, output, new_group(name))
        seat = Seat(spec, _size_of(spec.log_path), chosen)
        env = _stand_in_home(self._environ, scratch) | self._env(interpreter, spec, chosen)
        try:
            command = await self._command(interpreter, spec, address, scratch)
            process = await _start(command, output, scratch, env | {NAME_VARIABLE: name})
        except BaseException as error:
            if traces.group is not None:
                traces.group.remove()
            self._pump.close(output)
            if isinstance(error, OSError) and not interpreter.is_own:
                raise not_started(interpreter, error) from error
            raise
        finally:
            os.close(output.write_end)
        return self._taken(ProcessHandle(process, address, scratch, traces, seat), traces)

    def _taken(self, handle: ProcessHandle, traces: Traces) -> ProcessHandle:
        """Take a process that has just been started for ours, and keep it to its limits.

        Raises:
            OSError: it cannot be kept to them, and has been ended.
        """
        offspring.own(handle.pid)
        if traces.group is not None:
            # Before the model is loaded: Python itself takes longer to start.
            traces.group.add(handle.pid)
        try:
            handle.keep(self._limits)
        except OSError:
            handle.kill()
            handle.cleanup()
            raise
        return handle

    async def describe_image(self, image: str, on_pull: Callable[[], None]) -> ImageFacts:
        """Refuse: processes have no images."""
        del on_pull
        raise InvalidValueError(
            f"the image {image} cannot be run as a process", hint="--runtime docker"
        )

    async def _choose(self, spec: LaunchSpec) -> Chosen | None:
        if spec.version.device is None:
            return None
        return await asyncio.to_thread(choose, spec.version, spec.replica, self._devices)

    async def _command(
        self, interpreter: Interpreter, spec: LaunchSpec, address: str, scratch: Path
    ) -> list[str]:
        options = _options(spec, address, scratch)
        if interpreter.is_own:
            return runtime.command(interpreter, runtime.PACKAGE, *options)
        # What runs there is put there the first time.
        folder = self._scratch_dir.with_name("runtime")
        return await asyncio.to_thread(
            runtime.command, interpreter, runtime.PACKAGE, *options, folder=folder
        )

    def _env(
        self, interpreter: Interpreter, spec: LaunchSpec, chosen: Chosen | None
    ) -> dict[str, str]:
        threads = str(threads_of(spec.version, len(os.sched_getaffinity(0))))
        env = dict.fromkeys(THREAD_VARIABLES, threads)
        given = runtime.variables(interpreter, self._environ)
        env.update((key, value) for key, value in given.items() if key not in PRIVATE)
        if spec.version.threads is not None:
            env |= dict.fromkeys(ALL_THREAD_VARIABLES, threads)
        env |= spec.variables
        if spec.variables:
            env[HIDDEN_VARIABLE] = ",".join(spec.variables)
        env |= {} if chosen is None else chosen.variables
        env["PYTHONUNBUFFERED"] = "1"
        env[PARENT_VARIABLE] = str(os.getpid())
        if self._users_mask is not None:
            env["SERVD_UMASK"] = f"{self._users_mask:o}"
        env["SERVD_MODEL_NAME"] = spec.version.model
        env["SERVD_MODEL_VERSION"] = spec.version.version
        # Relative entries were meant for the daemon's folder, not for the scratch folder.
        if path := env.get("PYTHONPATH"):
            env["PYTHONPATH"] = os.pathsep.join(
                str(Path(entry).absolute()) for entry in path.split(os.pathsep) if entry
            )
        return env


async def _start(
    command: list[str], output: Output, folder: Path, env: dict[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output.write_end,
        stderr=output.write_end,
        cwd=str(folder),
        env=env,
        # Ctrl-C at the daemon's terminal must not reach replicas: they drain first.
        start_new_session=True,
    )


def _stand_in_home(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return a home for a user who has none: libraries ask for one when they are imported."""
    if "HOME" in environ:
        return {}
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        user = f"user-{os.getuid()}"
        return {"HOME": str(folder), "USER": environ.get("USER") or user}
    return {}


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _check_files(spec: LaunchSpec) -> None:
    if not spec.bundle_dir.is_dir():
        raise BundleError(
            f"the files of {spec.version.id} are not in {spec.bundle_dir}",
            hint="deploy it again, or put the data directory back",
        )


def not_started(interpreter: Interpreter, error: OSError) -> Exception:
    """Return what is raised where a process of an interpreter does not start."""
    if error.errno not in _OF_PROGRAMS:
        return error
    return InterpreterError(
        f"{interpreter.path} does not start: {error.strerror}",
        hint="make the environment anew where it was: the replica is then started by itself",
    )


def _options(spec: LaunchSpec, address: str, scratch: Path) -> list[str]:
    version = spec.version
    options = {
        "--listen": address,
        "--bundle": str(spec.bundle_dir),
        "--model": version.model,
        "--version": version.version,
        "--replica": str(spec.replica),
        "--max-batch": str(version.max_batch),
        "--work": str(scratch),
    }
    # One word an option, as a name or a version may begin with a dash.
    return [f"{name}={value}" for name, value in options.items()]

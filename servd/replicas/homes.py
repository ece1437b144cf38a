"""Which interpreter the replicas of a version run in; an environment is built before they start.

Made by the composition roots, used by launchers/process.py. What a bundle says of its environment
is in its manifest: nothing (servd's own), an interpreter as it is, or a lock. The environment of a
lock is looked for at each launch, and built where it is not there: at the first deployment, or
after somebody has removed it.
"""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, Self

from model_runtime.bundle import BundleFormatError
from model_runtime.manifest import read
from servd.clock import monotonic
from servd.datatypes import ModelVersion, VersionId
from servd.environments import lock as locks
from servd.environments.interpreter import Interpreter, InterpreterError, at, own
from servd.environments.lock import Lock
from servd.environments.store import Environments
from servd.errors import BundleError
from servd.logs.log import log
from servd.system.in_thread import in_thread

_END_S = 5.0
"""How long builders may take to clean up when the daemon stops."""


class Tell(Protocol):
    """Hears how the building of an environment goes."""

    def __call__(self, line: str, took_ms: float | None = None) -> None:
        """Take a line; the last one of a building says how long it took."""


def tell_nobody(line: str, took_ms: float | None = None) -> None:
    """Tell nobody."""
    del line, took_ms


class Homes:
    """The interpreters of versions; an async context manager that ends builders at its end.

    `environments` None: none can be built here. With `is_image` all run in servd's own, whatever
    their bundles say: the image was made for them.
    """

    def __init__(self, environments: Environments | None = None, *, is_image: bool = False) -> None:
        self._environments = environments
        self._is_image = is_image
        self._doing: dict[VersionId, str] = {}
        self._builds: set[asyncio.Future[Interpreter]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._environments is not None and self._builds:
            self._environments.end()
            await asyncio.wait(self._builds, timeout=_END_S)

    def doing(self, version_id: VersionId) -> str | None:
        """Return what is being done for a version before its replicas can start, if anything."""
        return self._doing.get(version_id)

    async def interpreter(self, version: ModelVersion, bundle_dir: Path) -> Interpreter:
        """Return the interpreter of a version, whose environment is built if it is not there.

        Raises:
            ServdError: it cannot be had; says why and what to do.
        """
        async with self.kept(version, bundle_dir, tell_nobody) as interpreter:
            return interpreter

    @asynccontextmanager
    async def kept(
        self, version: ModelVersion, bundle_dir: Path, tell: Tell
    ) -> AsyncIterator[Interpreter]:
        """Yield the interpreter of a version; its environment is not removed in the block.

        Raises:
            ServdError: it cannot be had; says why and what to do.
        """
        said = None if self._is_image else await asyncio.to_thread(_said, bundle_dir)
        if said is None:
            yield own()
        elif "lock" not in said:
            yield await asyncio.to_thread(_named, version.id, Path(said["interpreter"]))
        elif self._environments is None:
            raise BundleError(f"there is no environment for {version.id}")
        else:
            lock = await asyncio.to_thread(locks.read, bundle_dir / said["lock"])
            interpreter = await self._built(self._environments, version.id, lock, tell)
            try:
                yield interpreter
            finally:
                self._environments.release(lock)

    async def _built(
        self, environments: Environments, version_id: VersionId, lock: Lock, tell: Tell
    ) -> Interpreter:
        """Return the interpreter of a lock's environment, which is kept until it is released."""
        loop = asyncio.get_running_loop()
        begun_s = monotonic()
        is_told = False

        def hear(line: str) -> None:
            nonlocal is_told
            if not is_told:
                is_told = True
                log.info("the environment of %s is not there: it is built", version_id)
            self._doing[version_id] = f"building its environment: {line}"
            tell(line)

        def report(line: str) -> None:
            loop.call_soon_threadsafe(hear, line)

        build = in_thread(lambda: environments.ensure(lock, report), "environment")
        self._builds.add(build)
        build.add_done_callback(self._builds.discard)
        try:
            interpreter = await asyncio.shield(build)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: what it builds may be removed when it is done.
            build.add_done_callback(functools.partial(_let_go, environments, lock))
            raise
        finally:
            self._doing.pop(version_id, None)
        if is_told:
            took_s = monotonic() - begun_s
            log.info("the environment of %s was built in %.1f s", version_id, took_s)
            tell(f"{interpreter.prefix.name} (Python {interpreter.version})", took_s * 1000)
        return interpreter


def _let_go(environments: Environments, lock: Lock, build: asyncio.Future[Interpreter]) -> None:
    """Let an environment that nobody waits for any more be removed, if it was built."""
    if not build.cancelled() and build.exception() is None:
        environments.release(lock)


def _said(bundle_dir: Path) -> dict[str, str] | None:
    """Return what a bundle says of its environment."""
    try:
        return read(bundle_dir).environment
    except BundleFormatError:
        return None  # the replica says what is wrong with it


def _named(version_id: VersionId, path: Path) -> Interpreter:
    try:
        return at(path)
    except InterpreterError as error:
        raise InterpreterError(
            f"the environment of {version_id} cannot be used: {error.message}",
            hint="make it again where it was, or deploy the model from another: "
            f"servd deploy … --env venv:PATH, or --env new; {error.hint}".rstrip("; "),
            traceback=error.traceback,
        ) from error

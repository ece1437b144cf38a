"""Replicas as Docker containers. Made by processes/daemon.py.

All containers of a daemon are on a network of its own and carry its data directory's label, by
which those of a killed daemon are found and ended at the next start. They are reached over tcp with
CURVE keys that are made anew for each run of the daemon.

A name with a tag may be given to another image at any time, by a build or a pull; replicas that are
started later are to be the version that was deployed all the same (`pinned_image`).
"""

import asyncio
import functools
import os
import secrets
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import model_runtime
from servd.carriers import curve
from servd.config import Config
from servd.datatypes import ModelVersion, VersionId
from servd.errors import EngineError, ImageError, ServdError
from servd.logs.log import log
from servd.replicas.homes import Tell
from servd.replicas.launchers.base import ImageFacts, LaunchSpec, describe_exit
from servd.replicas.launchers.container import ContainerHandle, copy_output
from servd.replicas.launchers.container_options import NO_PROTOCOL_HINT, Place, exit_code
from servd.replicas.launchers.device_choice import check_device_here, choose
from servd.system.devices import Devices
from servd.system.identity import folder_id, is_of
from servd.system.in_thread import in_thread

if TYPE_CHECKING:
    from servd.replicas.launchers.docker_engine import Engine, Started

_THREADS = "servd-docker"
_START_S = 3.0
_CLOSE_S = 10.0
"""How long calls that go on at the end may take, before what they have made is removed."""

_INPUT_TYPE_LABEL = "io.servd.input-type"

EnsureImage = Callable[[Any, LaunchSpec], str]
"""Returns the image of a version with files, built where there is none: (docker client, replica to
launch). It blocks."""


class DockerLauncher:
    """Launches containers; an async context manager that leaves none behind.

    The engine is first asked when a container is wanted, or when the data directory says that a
    daemon before this one may have left some.
    """

    def __init__(
        self, config: Config, ensure_image: EnsureImage, devices: Devices | None = None
    ) -> None:
        self._config = config
        self._ensure_image = ensure_image
        self._id_file = config.data_dir / "docker.id"
        self._launching: set[asyncio.Future[Any]] = set()
        self._pending: set[asyncio.Future[Any]] = set()
        self._devices = devices or Devices(os.environ)
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._closing = threading.Event()
        self._ready: tuple[Engine, Place] | None = None

    async def __aenter__(self) -> Self:
        if self._id_file.exists():
            self._submit(self._prepare)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        # A container that is just being started is awaited; what still pulls will start none.
        for calls, limit_s in ((self._launching, _START_S), (self._pending, _CLOSE_S)):
            if calls:
                await asyncio.wait(calls, timeout=limit_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(in_thread(self._close, _THREADS), _CLOSE_S)

    async def launch(self, spec: LaunchSpec) -> ContainerHandle:
        """Start one replica; its image is built or pulled where it is not here.

        Cancelling it is safe: a container that starts nevertheless is removed.

        Raises:
            ServdError: there is no engine, no image, or the container does not start.
        """
        if spec.version.device is not None:
            choosing = functools.partial(choose, spec.version, spec.replica, self._devices)
            spec = replace(spec, chosen=await in_thread(choosing, _THREADS))
        launching = in_thread(functools.partial(self._launch, spec), _THREADS)
        self._launching.add(launching)
        launching.add_done_callback(self._launching.discard)
        try:
            engine, started = await asyncio.shield(launching)
        except asyncio.CancelledError:
            # A thread cannot be cancelled.
            launching.add_done_callback(self._end_unwanted)
            raise
        handle = ContainerHandle(engine, started, spec, self._submit)
        handle.watch()
        return handle

    async def check(self, version: ModelVersion) -> None:
        """Raise where this machine has no device that a version wants.

        Raises:
            InvalidValueError: it has none.
        """
        if version.device is not None:
            known = await in_thread(self._devices.find, _THREADS)
            check_device_here(version, known)

    def prepared(
        self, version: ModelVersion, bundle_dir: Path, tell: Tell
    ) -> AbstractAsyncContextManager[object]:
        """Have nothing: what a container runs in is its image, which `launch` builds."""
        del version, bundle_dir, tell
        return nullcontext()

    def doing(self, version_id: VersionId) -> None:
        """Say nothing: what an engine does it says itself."""

    async def describe_image(self, image: str, on_pull: Callable[[], None]) -> ImageFacts:
        """Return what an image's name stands for now; it is pulled where it is not here.

        `on_pull` is called before that, in the event loop.

        Raises:
            ServdError: there is no engine, or no such image.
        """
        loop = asyncio.get_running_loop()
        in_loop = functools.partial(loop.call_soon_threadsafe, on_pull)
        found: ImageFacts = await in_thread(
            functools.partial(self._describe_image, image, in_loop), _THREADS
        )
        return found

    def _submit(self, call: Callable[[], object]) -> None:
        """Make a call whose outcome nobody waits for but the end of this launcher."""
        pending = in_thread(functools.partial(_logged, call), _THREADS)
        self._pending.add(pending)
        pending.add_done_callback(self._pending.discard)

    def _end_unwanted(self, launching: "asyncio.Future[tuple[Engine, Started]]") -> None:
        if not launching.cancelled() and launching.exception() is None:
            engine, started = launching.result()
            self._submit(lambda: engine.remove(started.container_id))

    # --- in threads ---

    def _launch(self, spec: LaunchSpec) -> "tuple[Engine, Started]":
        engine, place = self._prepare()
        image = self._image(engine, spec)
        spec.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if spec.version.image is not None and spec.version.bundle is not None:
            _open_to_containers(spec.bundle_dir)
        started = engine.start(place, spec, image, secrets.token_hex(4))
        if started.ip_address:
            return engine, started
        # It has ended already, and so has an address no more.
        copy_output(started, spec)
        ended = engine.wait(started.container_id)
        engine.remove(started.container_id)
        raise ImageError(
            f"the container of {image} {describe_exit(exit_code(ended.status))} at once",
            hint=NO_PROTOCOL_HINT if spec.version.bundle is None else "",
        )

    def _image(self, engine: "Engine", spec: LaunchSpec) -> str:
        version = spec.version
        if version.image is not None:
            return pinned_image(engine, version)
        # One at a time: replicas of a version would all build the same image.
        with self._building:
            return self._ensure_image(engine.client, spec)

    def _describe_image(self, image: str, on_pull: Callable[[], object]) -> ImageFacts:
        engine, _ = self._prepare()
        description = engine.find_image(image, on_pull)
        labels = (description.get("Config") or {}).get("Labels") or {}
        return ImageFacts(labels.get(_INPUT_TYPE_LABEL) or None, digest_of(image, description))

    def _prepare(self) -> "tuple[Engine, Place]":
        """Connect, end what a daemon before this one has left, make keys and network; once."""
        with self._lock:
            if self._ready is None:
                engine = _connect(self._closing)
                try:
                    place = self._make_place()
                    count = engine.clear(place, is_final=False)
                    if count:
                        log.warning(
                            "containers that a killed daemon left behind were ended: %d", count
                        )
                    engine.make_network(place)
                except BaseException:
                    engine.close()
                    raise
                self._ready = engine, place
            return self._ready

    def _make_place(self) -> Place:
        data_dir = self._config.data_dir.resolve()
        instance = self._instance()
        curve.write_keys(self._config.curve_dir)
        keys = self._config.curve_dir / "replica"
        # Its parent is closed to other users; the container runs as a user of its own.
        keys.mkdir(exist_ok=True)
        for name in curve.REPLICA_FILES:
            shutil.copyfile(self._config.curve_dir / name, keys / name)
            (keys / name).chmod(0o644)
        keys.chmod(0o755)
        return Place(
            instance=instance,
            data_dir=data_dir,
            keys=keys.resolve(),
            runtime=Path(str(model_runtime.__file__)).resolve().parent,
        )

    def _instance(self) -> str:
        """Return the name of this data directory among all of an engine, made if it has none yet.

        One that came with a copy of the directory is the original's, whose containers live on.
        """
        noted = self._id_file.read_text().split() if self._id_file.exists() else []
        # Before there was a second word, the first was all.
        if len(noted) == 1 or (noted and is_of(self._config.data_dir, noted[1])):
            name = noted[0]
        else:
            name = secrets.token_hex(6)
        self._id_file.write_text(f"{name} {folder_id(self._config.data_dir)}")
        return name

    def _close(self) -> None:
        """Leave nothing behind; where that fails, the next start tries again."""
        with self._lock:
            if self._ready is None:
                return
            engine, place = self._ready
            try:
                engine.clear(place, is_final=True)
                self._id_file.unlink(missing_ok=True)
                shutil.rmtree(self._config.curve_dir, ignore_errors=True)
            except (ServdError, OSError) as error:
                log.warning("containers or their network may be left: %s", error)
            finally:
                engine.close()


def _connect(closing: threading.Event) -> "Engine":
    try:
        from servd.replicas.launchers import docker_engine as engine  # noqa: PLC0415 - the SDK is an extra
    except ImportError as error:
        raise EngineError(
            f"the Docker SDK is not installed ({error.name})",
            hint="pip install 'servd[docker]', or without containers: --runtime process",
        ) from error
    return engine.connect(closing)


def _logged(call: Callable[[], object]) -> None:
    try:
        call()
    except ServdError as error:
        log.warning("%s", error.message)
    except Exception:  # noqa: BLE001 - a task boundary: nobody waits for the outcome
        log.exception("a call of the container engine failed")


def _open_to_containers(bundle: Path) -> None:
    """Let the user of a container read a bundle that is mounted; its parent stays closed."""
    for path in (bundle, *bundle.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if path.is_dir() else 0o444))


if TYPE_CHECKING:
    from servd.replicas.launchers.docker_engine import Engine


def digest_of(reference: str, description: dict[str, Any]) -> str:
    """Return what names an image for ever, by the engine's description of it.

    That is REPOSITORY@sha256:… where it came from, or was pushed to, the registry in its name;
    else the engine's own id.
    """
    repository = _repository(reference)
    for known in description.get("RepoDigests") or ():
        if known.partition("@")[0] == repository:
            return str(known)
    return str(description["Id"])


def pinned_image(engine: "Engine", version: ModelVersion) -> str:
    """Return the id of the image that a version was deployed with; pulled where it is not here.

    Raises:
        ImageError: it can be had nowhere; says what its name stands for now.
    """
    name, digest = str(version.image), version.image_digest
    if digest is None:
        return str(engine.find_image(name)["Id"])
    found = engine.inspect_image(name)
    if found is not None and digest in (found["Id"], *(found.get("RepoDigests") or ())):
        return str(found["Id"])
    kept = engine.inspect_image(digest)
    if kept is None and "@" in digest:
        kept = engine.find_image(digest)
    if kept is None:
        is_other = f"stands for another one now ({found['Id']})" if found else "is gone"
        raise ImageError(
            f"{version.id} was deployed with the image {digest}, which the engine no longer has, "
            f"and the name {name} {is_other}",
            hint="bring that image back, or deploy the new one as a version of its own: "
            f"servd deploy --image {name} --name {version.model}",
        )
    log.warning("%s is another image now; %s goes on with %s", name, version.id, digest)
    return str(kept["Id"])


def _repository(reference: str) -> str:
    """Return a reference without its tag and its digest."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name

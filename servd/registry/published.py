"""The published registry: what front ends on a cluster read in the daemon's place.

A file `registry.json`, in Kubernetes a key of a ConfigMap that is mounted as a folder. Written by
the export, followed by cluster.py. It holds the registry's state and, for each version, the host
name under which its replicas are found.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from model_runtime.contract import REPLICA_PORT
from servd.datatypes import RegistryState, VersionId
from servd.errors import InvalidNameError, ServdError
from servd.names import check_loose_application_name
from servd.registry.snapshot import Registered, unpack_state, version_id

FILE_NAME: Final = "registry.json"


class PublishedError(ServdError):
    """A published registry that cannot be read or does not hold together; says what and where."""

    code = "bad_registry"


class VersionAddress(msgspec.Struct, frozen=True):
    """Where a version's replicas are: each address of `host` is one, at `port`.

    `scheme` is the carrier that they listen with (docs/protocol.md): ZeroMQ is "tcp".
    """

    host: str
    port: int = REPLICA_PORT
    scheme: Literal["tcp", "tls"] = "tcp"


class Published(msgspec.Struct, frozen=True):
    """A registry's state with the endpoints of its versions, by "model:version"."""

    registry: Registered
    endpoints: dict[str, VersionAddress] = {}

    def state(self) -> RegistryState:
        """Return the registry's state."""
        return unpack_state(self.registry)

    def by_version(self) -> dict[VersionId, VersionAddress]:
        """Return the endpoints by version."""
        return {version_id(key): endpoint for key, endpoint in self.endpoints.items()}


_decoder: Final = msgspec.json.Decoder(Published)


def encode(published: Published) -> bytes:
    """Return a published registry as the text of its file; equal ones have equal texts."""
    return msgspec.json.format(msgspec.json.encode(published, order="deterministic")) + b"\n"


def decode(text: bytes) -> Published:
    """Return the published registry that a file's text holds.

    Raises:
        PublishedError: it is none, or one part of it contradicts another.
    """
    try:
        published = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PublishedError(f"it is not a published registry: {error}") from error
    for fault in _faults(published):
        raise PublishedError(fault)
    return published


def _faults(published: Published) -> Iterator[str]:
    """Yield what does not hold together. Files edited by hand are why this is asked."""
    state = published.state()
    for name in state.applications:
        try:
            check_loose_application_name(name)
        except InvalidNameError as error:
            yield f"registry.applications: {error.message}"
    if state.default_app is not None and state.default_app not in state.applications:
        yield f"registry.default_app: there is no application '{state.default_app}'"
    for rule in state.routes.values():
        if rule.app not in state.applications:
            yield f"registry.routes: {rule.name}: there is no application '{rule.app}'"
    for model, version in state.current.items():
        if VersionId(model, version) not in state.versions:
            yield f"registry.current: there is no version '{version}' of model '{model}'"
    yield from _link_faults(state)
    yield from _endpoint_faults(published.by_version(), state)


def _link_faults(state: RegistryState) -> Iterator[str]:
    for name, models in state.links.items():
        application = state.applications.get(name)
        if application is None:
            yield f"registry.links: there is no application '{name}'"
            continue
        for model in models:
            version = state.versions.get(VersionId(model, state.current.get(model, "")))
            if version is None:
                yield f"registry.links.{name}: model '{model}' has no current version"
            elif version.input_type is not application.input_type:
                yield (
                    f"registry.links.{name}: the application takes {application.input_type}, "
                    f"model '{version.id}' takes {version.input_type}"
                )


def _endpoint_faults(
    endpoints: Mapping[VersionId, VersionAddress], state: RegistryState
) -> Iterator[str]:
    for version, endpoint in endpoints.items():
        if version not in state.versions:
            yield f"endpoints: there is no model version '{version}'"
        if not endpoint.host:
            yield f"endpoints.{version}.host: it is empty"
        if not 0 < endpoint.port < 65536:
            yield f"endpoints.{version}.port: {endpoint.port} is not a port (1 to 65535)"


class PublishedFile:
    """The file, or the folder that it is in, which may change at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: bytes | None = None
        self._mark: tuple[int, ...] | None = None
        self._complaint = ""

    def read(self) -> Published:
        """Return what the file holds.

        Raises:
            PublishedError: it cannot be read, or holds no published registry.
        """
        path = self._path / FILE_NAME if self._path.is_dir() else self._path
        try:
            self._text = path.read_bytes()
        except OSError as error:
            self._text = None
            raise PublishedError(
                f"{path}: {error.strerror or error}",
                hint="servd export-k8s    writes one; in a cluster it is mounted from a ConfigMap",
            ) from error
        try:
            return decode(self._text)
        except PublishedError as error:
            raise PublishedError(f"{path}: {error.message}", hint=error.hint) from error

    def changed(self) -> Published | None:
        """Return what the file holds if that is new and whole, else None.

        A ConfigMap's mount changes by a link to another folder, an editor writes in place; a file
        that is the same by its number, size and times is not read.

        Raises:
            PublishedError: it has become unreadable or wrong; said once for each way it is wrong.
        """
        before, mark = self._text, self._look()
        if mark is not None and mark == self._mark:
            return None
        self._mark = mark
        try:
            published = self.read()
        except PublishedError as error:
            is_said, self._complaint = error.message == self._complaint, error.message
            if is_said:
                return None
            raise
        self._complaint = ""
        return None if self._text == before else published

    def _look(self) -> tuple[int, ...] | None:
        """Return what changes with the file; None where it cannot be told."""
        try:
            path = self._path / FILE_NAME if self._path.is_dir() else self._path
            found = path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

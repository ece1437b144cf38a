"""`GET /api/v1/logs/…`: the daemon's and the replicas' logs, as text. Used by api.py."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from servd import names
from servd.config import Config
from servd.datatypes import VersionId
from servd.errors import InvalidValueError, ModelNotFoundError, NotFoundError
from servd.http.admin.connection import has_ended
from servd.logs.reader import LogReader
from servd.registry import rules
from servd.registry.registry import Registry
from servd.replicas.supervisor import Supervisor

_POLL_S = 0.25
_MAX_LINES = 100_000
_SLICE_BYTES = 64 * 1024
_TRUE = frozenset({"", "1", "true", "yes"})

Find = Callable[[], list[LogReader]]


class LogsApi:
    """The two handlers. `stop` ends those that follow, when the server closes."""

    def __init__(self, config: Config, supervisor: Supervisor, registry: Registry) -> None:
        self._config = config
        self._supervisor = supervisor
        self._registry = registry
        self._closing = asyncio.Event()

    def stop(self) -> None:
        """End all answers that follow a log. Called by admin.py at its end."""
        self._closing.set()

    async def daemon(self, request: web.Request) -> web.StreamResponse:
        """Answer the daemon's own log."""
        path = self._config.logs_dir / "daemon.log"
        return await self._answer(request, lambda: [LogReader(path, "daemon")])

    async def model(self, request: web.Request) -> web.StreamResponse:
        """Answer the logs of a model's replicas: of one version, or else of the current one."""
        model = request.match_info["model"]
        # Also what keeps a "..", which may come escaped, out of the path.
        names.check_loose_version(model, request.query.get("version", "1"), ())
        replica = request.query.get("replica")
        if replica is not None and not (replica.isascii() and replica.isdigit()):
            raise InvalidValueError(f"'{replica[:20]}' is not a replica's number")
        version = request.query.get("version") or self._version(model)
        version_id = VersionId(model, version)
        if version_id not in self._registry.state.versions and not self._find(version_id, None):
            raise NotFoundError(f"there are no logs of {version_id}")
        if replica is not None and not self._find(version_id, replica):
            raise NotFoundError(
                f"{version_id} has no log of a replica {replica}", hint="servd ps    lists them"
            )
        return await self._answer(request, lambda: self._find(version_id, replica))

    def _version(self, model: str) -> str:
        state = self._registry.state
        known = rules.versions_of(state, model)
        if known:
            return state.current.get(model, known[-1])
        # A model whose only deployment failed has no version, and its log says why.
        left = list(self._folder(model).glob("*.*.log"))
        if not left:
            raise ModelNotFoundError(model, rules.model_names(state))
        newest = max(left, key=lambda path: path.stat().st_mtime)
        return newest.stem.rpartition(".")[0]

    def _folder(self, model: str) -> Path:
        return self._supervisor.log_path(VersionId(model, "1"), 0).parent

    def _find(self, version_id: VersionId, replica: str | None) -> list[LogReader]:
        found = []
        for path in self._folder(version_id.model).glob("*.log"):
            version, _, number = path.stem.rpartition(".")
            is_wanted = number.isdigit() and (replica is None or int(number) == int(replica))
            if version == version_id.version and is_wanted:
                found.append((int(number), path))
        return [LogReader(path, f"{version_id}/{number}") for number, path in sorted(found)]

    async def _answer(self, request: web.Request, find: Find) -> web.StreamResponse:
        lines = _line_count(request.query.get("lines", "100"))
        follow = request.query.get("follow", "false").lower() in _TRUE
        readers = find()
        text = await asyncio.to_thread(_tails, readers, lines)
        if not follow and len(text) <= _SLICE_BYTES:
            return web.Response(body=bytes(text), content_type="text/plain", charset="utf-8")
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        with suppress(ConnectionError):
            # In slices: queries take their turns between them.
            for at in range(0, len(text), _SLICE_BYTES):
                await response.write(text[at : at + _SLICE_BYTES])
            if follow:
                await self._follow(request, response, readers, find)
        return response

    async def _follow(
        self,
        request: web.Request,
        response: web.StreamResponse,
        readers: list[LogReader],
        find: Find,
    ) -> None:
        known = {reader.path: reader for reader in readers}
        while not self._closing.is_set() and not has_ended(request):
            for reader in find():
                known.setdefault(reader.path, reader)
            for reader in known.values():
                text = await asyncio.to_thread(_more, reader, is_labelled=len(known) > 1)
                for at in range(0, len(text), _SLICE_BYTES):
                    await response.write(text[at : at + _SLICE_BYTES])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _POLL_S)


def _tails(readers: list[LogReader], lines: int) -> memoryview:
    several = len(readers) > 1
    return memoryview(
        b"".join(reader.labelled(reader.tail(lines), is_labelled=several) for reader in readers)
    )


def _more(reader: LogReader, *, is_labelled: bool) -> memoryview:
    return memoryview(reader.labelled(reader.more(), is_labelled=is_labelled))


def _line_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidValueError(f"'{text[:20]}' is not a number of lines")
    return min(int(text), _MAX_LINES)

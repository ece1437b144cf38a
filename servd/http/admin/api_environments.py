"""The calls of `/api/v1/environments`: what models run in that servd has built. Used by api.py."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from servd.environments.listing import EnvironmentView, Listing
from servd.http.admin.problems import Handler, is_asked, json_answer
from servd.logs import audit
from servd.registry.registry import Registry

_Result = TypeVar("_Result")


class EnvironmentsApi:
    """The handlers, which ask and change folders in threads."""

    def __init__(self, registry: Registry, listing: Listing) -> None:
        self._registry = registry
        self._listing = listing

    def handlers(self) -> dict[str, Handler]:
        """Return them by the names of openapi.CALLS."""
        return {
            "listEnvironments": self._list,
            "getEnvironment": self._get,
            "deleteEnvironment": self._delete,
            "pruneEnvironments": self._prune,
        }

    async def _list(self, _request: web.Request) -> web.Response:
        versions = self._registry.state.versions
        return json_answer(await _aside(lambda: self._listing.views(versions.values())))

    async def _get(self, request: web.Request) -> web.Response:
        key, versions = request.match_info["key"], self._registry.state.versions
        return json_answer(await _aside(lambda: self._listing.view(key, versions.values())))

    async def _delete(self, request: web.Request) -> web.Response:
        key, versions = request.match_info["key"], self._registry.state.versions
        is_forced = is_asked(request, "force")

        def remove() -> EnvironmentView:
            return self._listing.remove(key, versions.values(), is_forced=is_forced)

        with audit.change(f"remove the environment {key}"):
            return json_answer(await _aside(remove))

    async def _prune(self, _request: web.Request) -> web.Response:
        versions = self._registry.state.versions
        with audit.change("prune environments"):
            return json_answer(await _aside(lambda: self._listing.prune(versions.values())))


async def _aside(call: Callable[[], _Result]) -> _Result:
    return await asyncio.to_thread(call)

"""`GET /api/v1/events`: what happens, as it happens. Used by api.py.

The registry tells of its changes; the replicas are looked at, a few times a second, as long as
anybody listens.
"""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp import web

from servd.clock import wall_s
from servd.datatypes import RegistryState
from servd.http.admin.connection import has_ended
from servd.http.admin.openapi import NDJSON
from servd.registry import happenings
from servd.registry.happenings import Happening
from servd.registry.registry import Registry
from servd.replicas.supervisor import Supervisor

_POLL_S: Final = 0.25
_SIGN_OF_LIFE_S: Final = 5.0
_MAX_WAITING: Final = 10_000
"""Events that wait for one listener: who does not read is dropped."""


class _Listener:
    """One who listens. `waiting` are events that it has not been sent."""

    def __init__(self) -> None:
        self.waiting: list[Happening] = []
        self.is_told = asyncio.Event()

    def tell(self, happened: list[Happening]) -> None:
        """Have it told soon."""
        self.waiting += happened
        if happened:
            self.is_told.set()


class EventsApi:
    """The handler. `stop` ends all that listen, when the server closes."""

    def __init__(self, registry: Registry, supervisor: Supervisor) -> None:
        self._registry = registry
        self._supervisor = supervisor
        self._listeners: set[_Listener] = set()
        self._is_closing = False
        registry.subscribe(self._on_change)

    def stop(self) -> None:
        """End all answers. Called by server.py at its end."""
        self._is_closing = True
        for each in self._listeners:
            each.is_told.set()

    def _on_change(self, before: RegistryState, now: RegistryState) -> None:
        if self._listeners:
            happened = list(happenings.of_registry(before, now))
            for each in self._listeners:
                each.tell(happened)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer what happens, one event a line, until who listens hangs up."""
        listener = _Listener()
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        self._listeners.add(listener)
        listener.tell([Happening(event="listening")])
        try:
            with suppress(ConnectionError):
                await self._send(request, response, listener)
        finally:
            self._listeners.discard(listener)
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, listener: _Listener
    ) -> None:
        known = happenings.replicas_of(self._supervisor.statuses())
        silent_s = 0.0
        while not (self._is_closing or has_ended(request) or len(listener.waiting) > _MAX_WAITING):
            now = happenings.replicas_of(self._supervisor.statuses())
            listener.tell(list(happenings.of_replicas(known, now)))
            known = now
            text = _encoded(listener)
            silent_s = 0.0 if text else silent_s + _POLL_S
            if silent_s > _SIGN_OF_LIFE_S:
                text, silent_s = b"\n", 0.0
            if text:
                await response.write(text)
            with suppress(TimeoutError):
                await asyncio.wait_for(listener.is_told.wait(), _POLL_S)


def _encoded(listener: _Listener) -> bytes:
    waiting, listener.waiting = listener.waiting, []
    listener.is_told.clear()
    at_s = wall_s()
    return b"".join(
        msgspec.json.encode(msgspec.structs.replace(each, at_s=at_s)) + b"\n" for each in waiting
    )

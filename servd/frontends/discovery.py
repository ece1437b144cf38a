"""Finds replicas by name: each address of a host is one. Used by cluster.py.

In Kubernetes the name is a headless Service's, whose addresses are those of the ready pods. Names
are looked up again and again, as nothing tells when pods come and go.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Final

from servd.system.in_thread import in_thread

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 2.0
URGENT_S: Final = 0.5
"""The same where replicas are waited for: front ends are to switch together."""

Resolve = Callable[[str], Awaitable[frozenset[str]]]
"""Returns a host's addresses; raises `ResolverError` where nobody could say."""


class ResolverError(Exception):
    """The name service did not answer: nothing is known of the name, not even that it is gone."""


_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)})


def addresses_of(host: str) -> frozenset[str]:
    """Return all IPv4 and IPv6 addresses of a host; none where there is no such name.

    Raises:
        ResolverError: the name service did not answer.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            return frozenset()
        raise ResolverError(error.strerror) from error
    except (OSError, UnicodeError) as error:
        raise ResolverError(str(error)) from error
    return frozenset(str(entry[4][0]) for entry in found)


async def resolve(host: str) -> frozenset[str]:
    """Return what `addresses_of` does, which may take long."""
    return await in_thread(lambda: addresses_of(host), "servd-resolve")


class Discovery:
    """The addresses of some hosts, kept up to date by `run`.

    Args:
        on_change: called when `found` has changed.
        resolve: looks one host up.
        interval_s: the time between two look-ups of a host.
    """

    def __init__(
        self,
        on_change: Callable[[], None],
        resolve: Resolve = resolve,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.found: dict[str, frozenset[str]] = {}
        self._on_change = on_change
        self._resolve = resolve
        self._interval_s = interval_s
        self._hosts: frozenset[str] = frozenset()
        self._troubled: set[str] = set()
        self._pending: set[str] = set()
        self._is_new = asyncio.Event()
        self._urgent: frozenset[str] = frozenset()

    def watch(self, hosts: Collection[str], urgent: Collection[str] = ()) -> None:
        """Look these up from now on and no others; new ones at once, `urgent` ones often."""
        before, self._hosts = self._hosts, frozenset(hosts)
        if not self._urgent and urgent:
            self._is_new.set()
        self._urgent = frozenset(urgent)
        for gone in self.found.keys() - self._hosts:
            del self.found[gone]
        self._troubled &= self._hosts
        if self._hosts - before:
            self._is_new.set()

    @property
    def is_complete(self) -> bool:
        """Whether each host has been looked up."""
        return self.found.keys() >= self._hosts

    async def run(self) -> None:
        """Look the hosts up until cancelled. One that takes long holds no other up."""
        async with asyncio.TaskGroup() as lookups:
            all_from_s = 0.0
            while True:
                self._is_new.clear()
                now_s = asyncio.get_running_loop().time()
                is_turn = now_s >= all_from_s
                if is_turn:
                    all_from_s = now_s + self._interval_s
                new = self._hosts - self.found.keys()
                for host in (self._hosts if is_turn else self._urgent | new) - self._pending:
                    self._pending.add(host)
                    lookups.create_task(self._look_up(host))
                pause_s = all_from_s - now_s
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(pause_s, URGENT_S) if self._urgent else pause_s):
                        await self._is_new.wait()

    async def _look_up(self, host: str) -> None:
        try:
            found = await self._resolve(host)
        except ResolverError as error:
            self._on_trouble(host, error)
            return
        finally:
            self._pending.discard(host)
        if host in self._troubled:
            self._troubled.discard(host)
            logger.info("%s can be looked up again", host)
        if host in self._hosts and self.found.get(host) != found:
            self.found[host] = found
            self._on_change()

    def _on_trouble(self, host: str, error: ResolverError) -> None:
        # What is known stays: pods do not go because the name service has.
        if host not in self._troubled and host in self._hosts:
            self._troubled.add(host)
            logger.warning("%s cannot be looked up: %s", host, error)

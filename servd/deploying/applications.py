"""Changes of what exists that start and end no replica: applications, links, routes.

The part of a `Deployer` (deployer.py) that needs the registry alone.
"""

from collections.abc import Awaitable, Callable, Sequence

from servd.datatypes import Application, RouteRule
from servd.logs import audit
from servd.registry.registry import Registry


async def at_once() -> None:
    """Return: an engine in this process has applied a change when `apply` returns."""


class Applications:
    """The changes. `settled` returns when whoever answers queries has applied the last one."""

    def __init__(
        self, registry: Registry, settled: Callable[[], Awaitable[None]] = at_once
    ) -> None:
        self._registry = registry
        self._settled = settled

    async def register_application(self, app: Application, models: Sequence[str] = ()) -> None:
        """Add an application and link models to it."""
        linked = f" on {', '.join(models)}" if models else ""
        with audit.change(f"create the application {app.name}{linked}"):
            await self._registry.add_application(app, models)
            await self._settled()

    async def remove_application(self, name: str) -> None:
        """Remove an application, its links and its routes."""
        with audit.change(f"remove the application {name}"):
            await self._registry.remove_application(name)
            await self._settled()

    async def link(self, app: str, model: str) -> None:
        """Link a model to an application."""
        with audit.change(f"link {model} to {app}"):
            await self._registry.add_link(app, model)
            await self._settled()

    async def unlink(self, app: str, model: str) -> None:
        """Remove a link."""
        with audit.change(f"unlink {model} from {app}"):
            await self._registry.remove_link(app, model)
            await self._settled()

    async def set_default(self, name: str | None) -> None:
        """Have paths without a name answer for an application, or for none but the only one."""
        with audit.change(f"make {name or 'no application'} the default application"):
            await self._registry.set_default(name)
            await self._settled()

    async def add_route(self, rule: RouteRule) -> None:
        """Have an application answer at a further path."""
        with audit.change(f"route {rule.name} to {rule.app}"):
            await self._registry.add_route(rule)
            await self._settled()

    async def remove_route(self, method: str, path: str) -> None:
        """Remove a route."""
        with audit.change(f"remove the route {method} {path}"):
            await self._registry.remove_route(method, path)
            await self._settled()

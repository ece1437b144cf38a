"""What exists: applications, model versions, links, current versions. Used by deployer.py.

The state in memory is the truth; each change is checked, written to the store, and only then
seen: `state` is replaced as a whole and never changed in place, so a reader needs no lock.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence

import msgspec

from model_runtime.signature import Signature
from servd import names
from servd.datatypes import (
    Application,
    ModelVersion,
    RegistryState,
    RouteRule,
    Variables,
    VersionId,
)
from servd.errors import (
    ApplicationExistsError,
    ApplicationNotFoundError,
    InvalidValueError,
)
from servd.logs import faults
from servd.registry import routes, rules, store
from servd.registry.store import Change, Store

OnChange = Callable[[RegistryState, RegistryState], None]
"""Takes the state before a change and the one after it."""


class Registry:
    """The registry over a store. Mutators run one at a time and raise the errors of errors.py."""

    def __init__(self, database: Store) -> None:
        self._store = database
        self._lock = asyncio.Lock()
        self._subscribers: list[OnChange] = []
        self.state = RegistryState()

    async def load(self) -> None:
        """Read the state from the store; the daemon calls it once at its start."""
        self.state = await self._store.load()

    def subscribe(self, on_change: OnChange) -> None:
        """Have every change told once it is kept, in the order in which they were made.

        Subscribers are told before whoever made the change goes on, those first that came first.
        What one of them raises is logged: the change stands, and the others hear of it.
        """
        self._subscribers.append(on_change)

    @property
    def bundles(self) -> set[str | None]:
        """The digests of all bundles that are in use."""
        return {version.bundle for version in self.state.versions.values()}

    async def check_writable(self) -> None:
        """Raise StoreError where no change can be kept; before a change that starts replicas."""
        await self._store.check_in_place()

    async def add_application(self, app: Application, models: Sequence[str] = ()) -> None:
        """Add an application and link models to it, of which there may be one; all or nothing."""
        async with self._lock:
            names.check_loose_application_name(app.name)
            routes.check_not_routed(self.state, app.name)
            if app.name in self.state.applications:
                raise ApplicationExistsError(app.name)
            changes = [store.put_application(app)]
            new = rules.with_application(self.state, app)
            for model in models:
                rules.check_link(new, app.name, model)
                changes.append(store.put_link(app.name, model))
                new = rules.with_link(new, app.name, model)
            await self._commit(changes, new)

    async def remove_application(self, name: str) -> None:
        """Remove an application, its links and its routes."""
        async with self._lock:
            state = self.state
            if name not in state.applications:
                raise ApplicationNotFoundError(name, state.applications)
            new = msgspec.structs.replace(
                state,
                applications=rules.without(state.applications, name),
                links=rules.without(state.links, name),
                routes=routes.without_routes(state.routes, name),
                default_app=None if state.default_app == name else state.default_app,
            )
            await self._commit([store.delete_application(name)], new)

    async def set_default(self, name: str | None) -> None:
        """Have paths without a name answer for an application; None: for none but the only one."""
        async with self._lock:
            if name is not None and name not in self.state.applications:
                raise ApplicationNotFoundError(name, self.state.applications)
            new = msgspec.structs.replace(self.state, default_app=name)
            await self._commit([store.put_default(name)], new)

    async def add_route(self, rule: RouteRule) -> None:
        """Have an application answer at a further path; once more is no change."""
        async with self._lock:
            routes.check_route(self.state, rule)
            if rule.name not in self.state.routes:
                new = routes.with_route(self.state, rule)
                await self._commit([store.put_route(rule)], new)

    async def remove_route(self, method: str, path: str) -> None:
        """Remove a route."""
        async with self._lock:
            rule = routes.find_route(self.state, method, path)
            kept = rules.without(self.state.routes, rule.name)
            new = msgspec.structs.replace(self.state, routes=kept)
            await self._commit([store.delete_route(rule)], new)

    async def add_version(self, version: ModelVersion) -> None:
        """Add a version of a model, which becomes current, and the model with its first version."""
        async with self._lock:
            names.check_loose_version(version.model, version.version, version.labels)
            await self._commit(*rules.version_added(self.state, version))

    async def set_current(self, model: str, version: str, *, replicas: int | None = None) -> None:
        """Make an existing version the current one, and want so many replicas of it where given."""
        async with self._lock:
            found = rules.find_for_pointer(self.state, model, version)
            rules.check_linked_type(self.state, found)
            changes = [store.put_current(found.id)]
            new = rules.with_current(self.state, found)
            if replicas is not None and replicas != found.replicas:
                changed = msgspec.structs.replace(found, replicas=replicas)
                changes.append(store.put_version(changed))
                new = rules.with_version(new, changed)
            await self._commit(changes, new)

    async def remove_version(self, model: str, version: str) -> None:
        """Remove a version. Links stay; a model whose current version goes has none."""
        async with self._lock:
            state, version_id = self.state, VersionId(model, version)
            rules.find_version(state, version_id)
            new = rules.without_version(state, version_id)
            await self._commit([store.delete_version(version_id)], new)

    async def remove_model(self, model: str) -> None:
        """Remove all versions of a model and its links, in one transaction."""
        async with self._lock:
            state = self.state
            apps = [app for app, linked in state.links.items() if model in linked]
            gone = [version_id for version_id in state.versions if version_id.model == model]
            new = functools.reduce(rules.without_version, gone, state)
            links = rules.without_links(state.links, model)
            current = rules.without(state.current, model)
            new = msgspec.structs.replace(new, current=current, links=links)
            changes = [store.delete_link(app, model) for app in apps]
            await self._commit([*changes, *map(store.delete_version, gone)], new)

    async def add_link(self, app: str, model: str) -> None:
        """Link a model to an application, which may have one."""
        async with self._lock:
            rules.check_link(self.state, app, model)
            await self._commit(
                [store.put_link(app, model)], rules.with_link(self.state, app, model)
            )

    async def remove_link(self, app: str, model: str) -> None:
        """Remove a link."""
        async with self._lock:
            state = self.state
            if app not in state.applications:
                message = f"No app with name {app} exists."
                raise ApplicationNotFoundError(app, state.applications, message=message)
            rules.check_linked(state, app, model)
            own = rules.without_links({app: state.links[app]}, model)
            links = rules.without(state.links, app) | own
            new = msgspec.structs.replace(state, links=links)
            await self._commit([store.delete_link(app, model)], new)

    async def set_replicas(self, model: str, version: str, replicas: int) -> None:
        """Set how many replicas of a version are wanted."""
        async with self._lock:
            if replicas < 0:
                raise InvalidValueError(f"{replicas} is not a number of replicas")
            found = rules.find_version(self.state, VersionId(model, version))
            changed = msgspec.structs.replace(found, replicas=replicas)
            await self._commit(
                [store.put_version(changed)], rules.with_version(self.state, changed)
            )

    async def set_signature(self, version_id: VersionId, signature: Signature) -> None:
        """Keep what a version that was deployed before any had one says of its inputs."""
        async with self._lock:
            found = rules.find_version(self.state, version_id)
            changed = msgspec.structs.replace(found, signature=signature)
            await self._commit(
                [store.put_version(changed)], rules.with_version(self.state, changed)
            )

    async def commit_deploy(
        self,
        version: ModelVersion,
        app: Application | None,
        source: str | None = None,
        variables: Variables | None = None,
    ) -> None:
        """Make a loaded version live in one transaction.

        The version is added and current; `app` is added or replaced, and linked if it is not.
        `source` is the file that the version came from, `variables` are its own.
        """
        async with self._lock:
            rules.check_new_names(self.state, version, app)
            changes, new = rules.version_added(self.state, version)
            if app is not None:
                more, new = rules.application_linked(new, app, version.model)
                changes += more
            if source is not None:
                changes.append(store.put_source(version.id, source))
                new = rules.with_source(new, version.id, source)
            if variables:
                changes += store.put_variables(version.id, variables)
                new = rules.with_variables(new, version.id, variables)
            await self._commit(changes, new)

    async def put_application(self, app: Application, model: str) -> None:
        """Add or replace an application and link the model if it is not, in one transaction."""
        async with self._lock:
            await self._commit(*rules.application_linked(self.state, app, model))

    async def _commit(self, changes: Sequence[Change], new: RegistryState) -> None:
        writing = self._store.write(changes)
        is_cancelled = False
        while not writing.done():
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # What is on the disk must be what is in memory, whoever stopped waiting for it.
                is_cancelled = True
        writing.result()
        before, self.state = self.state, new
        for on_change in self._subscribers:
            try:
                on_change(before, new)
            except Exception as error:  # noqa: BLE001 - the change is made, and others wait for it
                faults.report("a change of the registry was not taken note of", error)
        if is_cancelled:
            raise asyncio.CancelledError

"""A model of the registry, and random changes of it. Used by test_durability.py.

`World` is what the admin API shows; a `Change` is a request that must succeed, with the world
after it. So a test knows what must be there when the daemon dies at any moment.
"""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.daemon import Daemon
from tests.e2e.steps import admin

APPS = ("a0", "a1", "a2", "a3")
MODELS = ("m0", "m1", "m2")
DEPLOYED = "live"
FIRST = "1"
"""The deployed version that is never removed, so that its bundle stays."""

MAX_DEPLOYED = 3
MAX_REPLICAS = 2


@dataclass
class World:
    """Applications with objectives, links, wanted replicas by (model, version), current ones."""

    apps: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)

    def versions_of(self, model: str) -> list[str]:
        """Return a model's versions."""
        return [version for name, version in self.versions if name == model]


@dataclass(frozen=True)
class Change:
    """A request to the admin API and the world once it is acknowledged."""

    method: str
    path: str
    body: Any
    after: World

    def make(self, daemon: Daemon) -> tuple[int, Any]:
        """Send it; a deployment's answer is its whole stream of events."""
        return admin(daemon, self.method, self.path, self.body)


def observe(daemon: Daemon) -> World:
    """Return the world that a running daemon shows."""
    world = World()
    status, apps = admin(daemon, "GET", "/api/v1/applications")
    assert status == 200
    for app in apps:
        world.apps[app["name"]] = app["slo_us"]
        for model in app["linked_models"]:
            world.links[app["name"]] = model
    status, models = admin(daemon, "GET", "/api/v1/models")
    assert status == 200
    for model in models:
        if model["current_version"]:
            world.current[model["name"]] = model["current_version"]
        for version in model["versions"]:
            world.versions[model["name"], version["version"]] = version["replicas"]
    return world


class Changes:
    """An endless stream of random changes, each possible in the world as it is then."""

    def __init__(self, rng: random.Random, bundle: str) -> None:
        self._rng = rng
        self._bundle = bundle
        self._count = 1
        # What launches replicas takes long, so it comes less often.
        self._kinds: list[Callable[[World], Change | None]] = [
            *(3 * [self._add_app, self._remove_app, self._link, self._unlink]),
            *(3 * [self._register, self._set_current, self._remove_version]),
            *(2 * [self._remove_model]),
            *(2 * [self._deploy, self._scale, self._roll]),
        ]

    def stream(self, world: World) -> Iterator[Change]:
        """Yield changes one after another, each following from the one before."""
        while True:
            change = self._rng.choice(self._kinds)(copy.deepcopy(world))
            if change is not None:
                yield change
                world = change.after

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _pick(self, options: list[Any]) -> Any:
        return self._rng.choice(options) if options else None

    def _add_app(self, world: World) -> Change | None:
        name = self._pick([app for app in APPS if app not in world.apps])
        if name is None:
            return None
        world.apps[name] = slo_us = 100_000 + self._number()
        body: dict[str, Any] = {"name": name, "slo_us": slo_us}
        model = self._pick([None, *world.current])
        if model is not None:
            body["linked_models"] = [model]
            world.links[name] = model
        return Change("POST", "/api/v1/applications", body, world)

    def _remove_app(self, world: World) -> Change | None:
        name = self._pick(list(world.apps))
        if name is None:
            return None
        del world.apps[name]
        world.links.pop(name, None)
        return Change("POST", "/admin/delete_app", {"name": name}, world)

    def _link(self, world: World) -> Change | None:
        app = self._pick([app for app in world.apps if app not in world.links])
        model = self._pick(list(world.current))
        if app is None or model is None:
            return None
        world.links[app] = model
        body = {"app_name": app, "model_names": [model]}
        return Change("POST", "/admin/add_model_links", body, world)

    def _unlink(self, world: World) -> Change | None:
        app = self._pick(list(world.links))
        if app is None:
            return None
        model = world.links.pop(app)
        body = {"app_name": app, "model_names": [model]}
        return Change("POST", "/admin/delete_model_links", body, world)

    def _register(self, world: World) -> Change | None:
        model, version = self._pick(list(MODELS)), str(self._number())
        world.versions[model, version] = 0
        world.current[model] = version
        body = {
            "model_name": model,
            "model_version": version,
            "labels": [],
            "input_type": "doubles",
            "container_name": "nobody/nothing",
            "model_data_path": "/nowhere",
            "batch_size": -1,
        }
        return Change("POST", "/admin/add_model", body, world)

    def _set_current(self, world: World) -> Change | None:
        found = self._pick([key for key in world.versions if key[0] in MODELS])
        if found is None:
            return None
        world.current[found[0]] = found[1]
        body = {"model_name": found[0], "model_version": found[1]}
        return Change("POST", "/admin/set_model_version", body, world)

    def _remove_version(self, world: World) -> Change | None:
        found = self._pick([key for key in world.versions if key != (DEPLOYED, FIRST)])
        if found is None:
            return None
        model, version = found
        del world.versions[found]
        if world.current.get(model) == version:
            del world.current[model]
        body = {"model_name": model, "model_version": version}
        return Change("POST", "/admin/delete_versioned_model", body, world)

    def _remove_model(self, world: World) -> Change | None:
        model = self._pick([model for model in MODELS if world.versions_of(model)])
        if model is None:
            return None
        world.versions = {key: n for key, n in world.versions.items() if key[0] != model}
        world.current.pop(model, None)
        world.links = {app: linked for app, linked in world.links.items() if linked != model}
        return Change("DELETE", f"/api/v1/models/{model}?force=true", None, world)

    def _deploy(self, world: World) -> Change | None:
        is_free = world.links.get(DEPLOYED, DEPLOYED) == DEPLOYED
        if not is_free or len(world.versions_of(DEPLOYED)) >= MAX_DEPLOYED:
            return None
        version = str(self._number())
        slo_us = 100_000 + self._number()
        world.versions[DEPLOYED, version] = 1
        world.current[DEPLOYED] = version
        world.apps[DEPLOYED] = slo_us
        world.links[DEPLOYED] = DEPLOYED
        body = {
            "model": DEPLOYED,
            "version": version,
            "bundle": self._bundle,
            "app": DEPLOYED,
            "slo_us": slo_us,
        }
        return Change("POST", "/api/v1/deployments", body, world)

    def _scale(self, world: World) -> Change | None:
        version = self._pick(world.versions_of(DEPLOYED))
        count = self._rng.randint(0, MAX_REPLICAS)
        world.versions[DEPLOYED, version] = count
        path = f"/api/v1/models/{DEPLOYED}/versions/{version}/replicas"
        return Change("PUT", path, {"replicas": count}, world)

    def _roll(self, world: World) -> Change | None:
        version = self._pick(world.versions_of(DEPLOYED))
        world.current[DEPLOYED] = version
        key = (DEPLOYED, version)
        world.versions[key] = max(1, world.versions[key])
        path = f"/api/v1/models/{DEPLOYED}/rollback"
        return Change("POST", path, {"version": version}, world)

"""From a target to an application that answers, as one deployment sees it. Used by the clients and
by `servd deploy`: what is told on the way is a `Reporter`'s to say.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from servd import names
from servd.client import calls
from servd.client.admin import AdminClient
from servd.datatypes import InputType
from servd.environments.interpreter import own
from servd.environments.store import Environments
from servd.errors import InvalidValueError, TargetError
from servd.packing import bundling
from servd.packing.archive import Packed
from servd.packing.bundling import BundleOptions, BundlePlan, choose_name
from servd.packing.environment import Workshop
from servd.packing.targets import Target
from servd.registry.limits import check_device, check_limits, check_threads
from servd.registry.variables import check_beside

_OF_CONTAINERS: Final = ("image", "gpus")
_OF_RUNS: Final = (*_OF_CONTAINERS, "memory_bytes", "cpus", "device", "threads", "env_vars")


class Reporter(Protocol):
    """Hears of each step in order."""

    def on_warning(self, text: str) -> None:
        """Hear what may go wrong."""

    def on_note(self, text: str) -> None:
        """Hear what was decided for the user."""

    def on_progress(self, text: str) -> None:
        """Hear what goes on while an environment is made."""

    def on_environment(self, line: str) -> None:
        """Hear in which environment the model is to run, and why."""

    def on_bundled(self, plan: BundlePlan, digest: str, duration_ms: float) -> None:
        """Hear what was packed and sent."""

    def on_accepted(self, answer: dict[str, Any]) -> None:
        """Hear that it goes on without us."""

    def on_event(self, event: dict[str, Any]) -> None:
        """Hear one line of the daemon's. Raises where it is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What is made; None: not given. `app` False: no application."""

    name: str | None = None
    app: str | Literal[False] | None = None
    version: str | None = None

    def request(self, chosen: str) -> dict[str, Any]:
        """Return the part of a deployment request that names things, where a model is so called.

        Raises:
            InvalidNameError: a name breaks the rules.
        """
        app = None if self.app is False else self.app or chosen
        names.check_model_name(chosen)
        if app is not None:
            names.check_application_name(app)
        if self.version is not None:
            names.check_version_name(self.version)
        return {"model": chosen, "app": app, "version": self.version}


@dataclass(slots=True)
class Prepared:
    """A target that is ready to be sent. `took_s` is what it took to find out what is in it."""

    plan: BundlePlan
    request: dict[str, Any]
    took_s: float


def prepare(
    target: Target,
    naming: Naming,
    options: BundleOptions,
    reporter: Reporter,
    environments: Environments,
) -> Prepared:
    """Find out what a target needs; nothing is sent yet. A new environment is one of these.

    Raises:
        TargetError: it cannot be deployed; the message says why.
        ServdError: its environment cannot be had.
        InvalidNameError: a name breaks the rules.
    """
    started_s = time.monotonic()
    workshop = Workshop(environments, reporter.on_progress)
    plan = bundling.plan_bundle(target, options, Path.cwd(), workshop)
    if plan.environment.line:
        reporter.on_environment(plan.environment.line)
    for remark in plan.remarks:
        reporter.on_warning(remark)
    name = naming.name
    if name is None:
        name, why = choose_name(plan)
        if why:
            reporter.on_note(f"the model is named {name}, as {why}")
    request = naming.request(name) | {
        "source": str(plan.target.path),
        "is_name_given": naming.name is not None,
    }
    if plan.manifest.kind == "seldon":
        # Its metrics and tags are those of a call, and so it is called for each message.
        request["is_cached"] = False
    return Prepared(plan, request, time.monotonic() - started_s)


def image_request(naming: Naming, image: str | None, input_type: str | None) -> dict[str, Any]:
    """Return what a deployment of an image alone asks for, which is a replica by itself.

    Raises:
        InvalidValueError: there is none, or it has no name.
        InvalidNameError: a name breaks the rules.
    """
    if image is None:
        raise InvalidValueError("there is nothing to deploy: give a target, or an image")
    if naming.name is None:
        raise InvalidValueError("a name is needed where an image is deployed without a target")
    named = None if input_type is None else InputType.parse(input_type).value
    return naming.request(naming.name) | {"input_type": named}


def send(client: AdminClient, prepared: Prepared, reporter: Reporter) -> dict[str, Any]:
    """Send a target's bundle where the daemon does not have it; return what its deployment asks.

    It is packed while it is sent: nothing of the model's size is written on this side.

    Raises:
        TargetError: a file cannot be read.
    """
    started_s = time.monotonic()
    prepared.plan = _for_daemon(client, prepared.plan, reporter)
    try:
        packed = bundling.packed(prepared.plan)
        digest = upload(client, packed)
    except OSError as error:
        where = (
            f"{error.filename} cannot be read" if error.filename else "the bundle cannot be sent"
        )
        raise TargetError(f"{where}: {error.strerror or error}") from error
    # A daemon that had to be started meanwhile is no part of the bundle's time.
    took_s = time.monotonic() - started_s + prepared.took_s
    reporter.on_bundled(prepared.plan, digest, took_s * 1000)
    return prepared.request | {"bundle": digest}


def _for_daemon(client: AdminClient, plan: BundlePlan, reporter: Reporter) -> BundlePlan:
    """Have a model run in this program's environment where the daemon is of another one.

    It was looked at here. Unless it is said that it is for the daemon's own, or that is elsewhere.
    """
    here = own()
    is_open = plan.environment.told is None and not plan.environment.is_daemons
    if not is_open or client.address.path is None:
        return plan
    prefix = client.ask(calls.status()).get("prefix")
    if not prefix or os.path.realpath(prefix) == os.path.realpath(here.prefix):
        return plan
    reporter.on_environment(f"{here.prefix} (Python {here.version}): the daemon's is {prefix}")
    named = {"python": here.version, "interpreter": str(here.path)}
    return replace(plan, manifest=replace(plan.manifest, environment=named))


def upload(client: AdminClient, packed: Packed) -> str:
    """Send a bundle where the daemon does not have it; return its digest."""
    digest = packed.digest()
    path = calls.bundle(digest)
    if not client.has(path):
        client.upload(path, packed.chunks(), packed.size)
    return digest


def follow(
    client: AdminClient, request: dict[str, Any], reporter: Reporter, *, is_waiting: bool = True
) -> None:
    """Deploy what was sent, and tell of it until it is live, or has been accepted.

    Raises:
        ApiError: it failed; nothing was changed.
    """
    call = calls.deploy(request, is_waiting=is_waiting)
    if not is_waiting:
        reporter.on_accepted(client.ask(call))
        return
    for event in client.events(call.path, call.body):
        reporter.on_event(event)


def run_settings(
    given: dict[str, Any], runtime: str | None, shown: Sequence[str] = _OF_CONTAINERS
) -> dict[str, Any]:
    """Return the part of a deployment request that says in what the replicas run, and on what.

    `shown` is what `image` and `gpus` are called by whoever gave them.

    Raises:
        InvalidValueError: what only containers have is given, and it runs in none; or one is wrong.
    """
    named = {name: given[name] for name in _OF_RUNS if given.get(name) is not None}
    runtime = runtime or ("docker" if named.get("image") else "process")
    asked = [name for name in _OF_CONTAINERS if name in named]
    if asked and runtime == "process":
        word = shown[_OF_CONTAINERS.index(asked[0])]
        raise InvalidValueError(f"{word} is for containers", hint="runtime: docker")
    check_limits(named.get("memory_bytes"), named.get("cpus"), named.get("gpus"), runtime)
    check_device(named.get("device"), named.get("gpus"))
    check_threads(named.get("threads"))
    check_beside(named.get("env_vars", ()), named.get("device"), named.get("threads"))
    return {"runtime": runtime, **named}

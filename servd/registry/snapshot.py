"""The registry's state in JSON's terms: published, sent to front ends, and told to tools."""

import msgspec

from servd.datatypes import Application, ModelVersion, RegistryState, RouteRule, VersionId


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A `RegistryState` in JSON's terms, whose maps have texts as keys.

    `default_app` is there where one was chosen.
    """

    applications: list[Application] = []
    versions: list[ModelVersion] = []
    current: dict[str, str] = {}
    links: dict[str, list[str]] = {}
    default_app: str | msgspec.UnsetType = msgspec.UNSET
    routes: list[RouteRule] | msgspec.UnsetType = msgspec.UNSET


def pack_state(state: RegistryState) -> Registered:
    """Return a registry's state as it travels."""
    return Registered(
        applications=list(state.applications.values()),
        versions=list(state.versions.values()),
        current=state.current,
        links={app: list(models) for app, models in state.links.items()},
        default_app=state.default_app or msgspec.UNSET,
        routes=list(state.routes.values()) or msgspec.UNSET,
    )


def unpack_state(registered: Registered) -> RegistryState:
    """Return the state that `pack_state` was given."""
    return RegistryState(
        applications={app.name: app for app in registered.applications},
        versions={version.id: version for version in registered.versions},
        current=registered.current,
        links={app: tuple(models) for app, models in registered.links.items()},
        default_app=registered.default_app or None,
        routes={rule.name: rule for rule in registered.routes or ()},
    )


def version_id(text: str) -> VersionId:
    """Return the identity that a "model:version" text names; neither part holds a colon."""
    model, _, version = text.partition(":")
    return VersionId(model, version)

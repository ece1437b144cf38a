"""What a standalone image answers: applications and routes, by pure functions over the registry's
state. Used by cli/build_body.py and cli/export_images.py.
"""

from collections.abc import Collection

from servd import names
from servd.datatypes import Application, ModelVersion, RegistryState, RouteRule
from servd.deploying.plan import DEFAULT_SLO_US


def applications_of(
    state: RegistryState, version: ModelVersion, wanted: Collection[str] = ()
) -> tuple[Application, ...]:
    """Return the applications that a version answers; of those that are wanted, if any are named.

    The default one comes first, as it answers at paths without a name, or that called like the
    model. A model that has none gets one.
    """
    linked = (name for name, models in state.links.items() if version.model in models)
    apps = [state.applications[name] for name in sorted(linked) if not wanted or name in wanted]
    apps.sort(key=lambda app: (app.name != state.default_app, app.name != version.model))
    fitting = tuple(app for app in apps if app.input_type is version.input_type)
    return fitting or (_application_for(version),)


def routes_of(state: RegistryState, apps: Collection[Application]) -> tuple[RouteRule, ...]:
    """Return the further paths of some applications, by name."""
    chosen = {app.name for app in apps}
    return tuple(rule for _, rule in sorted(state.routes.items()) if rule.app in chosen)


def _application_for(version: ModelVersion) -> Application:
    """Return the application of a model that has none: called like it, where that may be."""
    is_reserved = version.model in names.RESERVED_APPLICATIONS
    name = f"{version.model}-app" if is_reserved else version.model
    return Application(name=name, input_type=version.input_type, slo_us=DEFAULT_SLO_US)

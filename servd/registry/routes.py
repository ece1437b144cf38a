"""The rules of routes, further paths of applications, as pure functions. Used by registry.py.

A route never hides what is there already, nor does what comes later hide it.
"""

import re
from typing import Final

import msgspec

from servd.datatypes import ROUTE_METHODS, ModelVersion, RegistryState, RouteRule, VersionId
from servd.errors import ApplicationNotFoundError, ConflictError, InvalidValueError, NotFoundError

MAX_PATH: Final = 200
MAX_KEY: Final = 200
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_PAGES: Final = frozenset({"/metrics", "/healthz", "/readyz", "/openapi.json"})
_FIRSTS: Final = frozenset({"v1", "v2", "seldon", "api", "endpoints", "admin"})
"""What other protocols, and servd's own pages, have at these places."""


def check_route(state: RegistryState, rule: RouteRule) -> None:
    """Raise unless an application may answer at that path.

    Raises:
        ApplicationNotFoundError: there is no such application.
        InvalidValueError: it is no method, no path or no key.
        ConflictError: something else is there; says what.
    """
    if rule.method not in ROUTE_METHODS:
        raise InvalidValueError(
            f"'{rule.method[:20]}' is not a method of routes", hint="GET or POST, as 'POST /score'"
        )
    _check_path(rule.path)
    for key in (rule.takes, rule.gives):
        if key is not None and not 1 <= len(key) <= MAX_KEY:
            raise InvalidValueError(f"a key of a body has 1 to {MAX_KEY} characters")
    if rule.app not in state.applications:
        raise ApplicationNotFoundError(rule.app, state.applications)
    for model in state.links.get(rule.app, ()):
        version = state.versions.get(VersionId(model, state.current.get(model, "")))
        if version is not None and version.web is not None:
            raise ConflictError(
                f"{rule.app} is a web application, which has paths of its own and takes no inputs",
                hint=f"servd app default {rule.app}    has it answer at the root",
            )
    _check_inputs(state, rule)
    _check_free(state, rule)


def _check_path(path: str) -> None:
    is_clean = not {".", ".."}.intersection(path.split("/"))
    if len(path) > MAX_PATH or _PATH.fullmatch(path) is None or not is_clean:
        raise InvalidValueError(
            f"'{path[:60]}' is not a path of a route",
            hint=f"it begins with '/', has no escapes, patterns or '..', does not end with '/' and "
            f"has at most {MAX_PATH} characters, as /score or /v3/iris:predict",
        )
    first = first_segment(path)
    if path in _PAGES or first in _FIRSTS:
        what = path if path in _PAGES else f"/{first}/…"
        raise ConflictError(f"{what} is servd's own, or of another protocol", hint="take another")


def _check_inputs(state: RegistryState, rule: RouteRule) -> None:
    """Refuse a query string for inputs that are known to have no names."""
    if rule.method != "GET":
        return
    if rule.takes is not None:
        raise InvalidValueError(
            "--in is for POST: the query string of a GET has the fields of the input by name"
        )
    for model in state.links.get(rule.app, ()):
        version = state.versions.get(VersionId(model, state.current.get(model, "")))
        if version is not None and version.signature is not None and not version.signature.fields:
            raise InvalidValueError(
                f"the inputs of {rule.app} have no names, so a query string cannot give them",
                hint=f"'POST {rule.path}' --in NAME, or deploy with --columns",
            )


def _check_free(state: RegistryState, rule: RouteRule) -> None:
    before = state.routes.get(rule.name)
    if before is not None and before != rule:
        raise ConflictError(
            f"{rule.name} is a route to {before.app} already",
            hint=f"servd route rm '{rule.name}' first",
        )
    first = first_segment(rule.path)
    if first in state.applications:
        raise ConflictError(
            f"{rule.path} would hide what the application {first} has below /{first}",
            hint="take a path that does not begin with an application's name",
        )


def check_not_routed(state: RegistryState, app: str) -> None:
    """Raise where an application of that name would lie where a route is.

    Raises:
        ConflictError: names the route.
    """
    for rule in state.routes.values():
        if first_segment(rule.path) == app:
            raise ConflictError(
                f"an application '{app}' would answer below /{app}, where the route {rule.name} "
                f"to {rule.app} is",
                hint=f"servd route rm '{rule.name}' first, or take another name",
            )


def check_not_web(state: RegistryState, app: str, version: ModelVersion) -> None:
    """Raise where a web application would be what the routes of an application lead to.

    Raises:
        ConflictError: names a route.
    """
    rule = next((rule for rule in state.routes.values() if rule.app == app), None)
    if version.web is not None and rule is not None:
        raise ConflictError(
            f"{version.id} is a web application, which cannot answer the route "
            f"{rule.name} to {app}",
            hint=f"servd route rm '{rule.name}' first, or take another name",
        )


def find_route(state: RegistryState, method: str, path: str) -> RouteRule:
    """Return a route.

    Raises:
        NotFoundError: there is none.
    """
    found = state.routes.get(f"{method} {path}")
    if found is None:
        known = ", ".join(f"'{name}'" for name in state.routes)
        hint = f"there are: {known}" if known else "there are no routes"
        raise NotFoundError(f"there is no route '{method} {path}'", hint=hint)
    return found


def first_segment(path: str) -> str:
    """Return the part of a path that would be an application's name."""
    return path.strip("/").partition("/")[0]


def with_route(state: RegistryState, rule: RouteRule) -> RegistryState:
    """Return the state with the route added."""
    return msgspec.structs.replace(state, routes={**state.routes, rule.name: rule})


def without_routes(routes: dict[str, RouteRule], app: str) -> dict[str, RouteRule]:
    """Return the routes less those to an application."""
    return {name: rule for name, rule in routes.items() if rule.app != app}

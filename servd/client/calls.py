"""The calls of the admin API, by their nouns: method, path, body. Used by the clients and the CLI.

Whoever makes a call is free in how: one after the other, or in an event loop.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `path` is below `/api/v1`, `body` is JSON, None for none."""

    method: str
    path: str
    body: Any = None


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="")


def query(**values: object) -> str:
    """Return "?a=b" of the values that are not None, or an empty text."""
    given = {key: value for key, value in values.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def status() -> Call:
    """Ask what the daemon is."""
    return Call("GET", "/status")


def shutdown(drain_s: float | None = None) -> Call:
    """End the daemon; running queries get `drain_s`."""
    return Call("POST", "/shutdown", {"drain_s": drain_s})


def variables() -> Call:
    """Ask for the values of all versions' variables; answered on the daemon's own machine only."""
    return Call("POST", "/variables")


def applications() -> Call:
    """Ask for all applications."""
    return Call("GET", "/applications")


def application(name: str) -> Call:
    """Ask for one application."""
    return Call("GET", f"/applications/{segment(name)}")


def create_application(
    name: str, *, input_type: str, default_output: str | None, slo_us: int
) -> Call:
    """Make an application."""
    body = {
        "name": name,
        "input_type": input_type,
        "default_output": default_output,
        "slo_us": slo_us,
    }
    return Call("POST", "/applications", body)


def delete_application(name: str) -> Call:
    """Remove an application; its models stay."""
    return Call("DELETE", f"/applications/{segment(name)}")


def link(app: str, model: str) -> Call:
    """Have a model answer an application."""
    return Call("PUT", f"/applications/{segment(app)}/links/{segment(model)}")


def unlink(app: str, model: str) -> Call:
    """Take a model away from an application."""
    return Call("DELETE", f"/applications/{segment(app)}/links/{segment(model)}")


def models() -> Call:
    """Ask for all models, with their versions."""
    return Call("GET", "/models")


def model(name: str) -> Call:
    """Ask for one model, with its versions."""
    return Call("GET", f"/models/{segment(name)}")


def delete_model(name: str, version: str | None = None, *, is_forced: bool = False) -> Call:
    """Remove a model, or one version; also what is current or answers where `is_forced`."""
    path = f"/models/{segment(name)}" + (f"/versions/{segment(version)}" if version else "")
    return Call("DELETE", path + query(force="true" if is_forced else None))


def rollback(name: str, version: str | None = None) -> Call:
    """Make a version the current one; None: the one before the current."""
    return Call("POST", f"/models/{segment(name)}/rollback", {"version": version})


def scale(name: str, replicas: int, version: str | None = None) -> Call:
    """Set how many replicas a version has; None: the current one."""
    path = f"/models/{segment(name)}" + (f"/versions/{segment(version)}" if version else "")
    return Call("PUT", f"{path}/replicas", {"replicas": replicas})


def replicas() -> Call:
    """Ask for the replicas."""
    return Call("GET", "/replicas")


def events() -> Call:
    """Ask for what happens, as it happens."""
    return Call("GET", "/events")


def default_application() -> Call:
    """Ask for the application that paths without a name answer for."""
    return Call("GET", "/default-application")


def set_default_application(name: str | None) -> Call:
    """Have paths without a name answer for an application; None: for none but the only one."""
    return Call("PUT", "/default-application", {"name": name})


def routes() -> Call:
    """Ask for the further paths of applications."""
    return Call("GET", "/routes")


def add_route(route: dict[str, Any]) -> Call:
    """Have an application answer at a further path."""
    return Call("POST", "/routes", route)


def delete_route(method: str, path: str) -> Call:
    """Remove a further path."""
    return Call("DELETE", f"/routes{query(method=method, path=path)}")


def environments() -> Call:
    """Ask for the environments that were built for models."""
    return Call("GET", "/environments")


def environment(key: str) -> Call:
    """Ask for one of them, by how its key begins."""
    return Call("GET", f"/environments/{segment(key)}")


def delete_environment(key: str, *, is_forced: bool = False) -> Call:
    """Remove one; `is_forced`: also where versions use it."""
    flag = query(force="true" if is_forced else None)
    return Call("DELETE", f"/environments/{segment(key)}{flag}")


def prune_environments() -> Call:
    """Remove those that nothing uses."""
    return Call("POST", "/environments/prune")


def deploy(request: dict[str, Any], *, is_waiting: bool = True) -> Call:
    """Deploy an uploaded bundle or an image; events come where `is_waiting`."""
    return Call("POST", "/deployments" if is_waiting else "/deployments?wait=false", request)


def bundle(digest: str) -> str:
    """Return the path of a bundle."""
    return f"/bundles/{segment(digest)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsWanted:
    """Which lines of which log: the last `lines` of a replica, or of all, and what comes then."""

    lines: int = 100
    version: str | None = None
    replica: int | None = None
    is_following: bool = False


def logs(name: str, wanted: LogsWanted) -> Call:
    """Ask for the log of a model, or of the "daemon"."""
    values = query(
        version=wanted.version or None,
        lines=wanted.lines,
        replica=wanted.replica,
        follow="true" if wanted.is_following else None,
    )
    return Call("GET", f"/logs/{segment(name)}{values}")

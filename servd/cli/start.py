"""`servd start`."""

import os
from typing import Any

from servd.cli.output import Output
from servd.cli.session import Session
from servd.cli.settings import daemon_settings, force_option
from servd.cli.verb import verb
from servd.client import calls
from servd.client.admin import AdminClient, ApiError, parse_address
from servd.client.spawn import start_daemon, wait_until_loaded
from servd.config import Config, asked_settings, differing, told
from servd.errors import ConflictError, ServdError


@verb("start", examples=("servd start", "servd start --query-port 8000 --data-dir ./serving"))
@daemon_settings
@force_option
def command(session: Session, /, *, is_forced: bool, **flags: Any) -> None:
    """Start the daemon in the background. Returns when it answers, or says why it does not.

    Waits for the models too, for ten seconds at most, and says which are not up by then. Where a
    daemon runs already, exits with 0 if it has the settings that were given, else with 1.
    """
    config = session.load_config(flags)
    status, is_new = start_daemon(config, flags, is_forced=is_forced)
    if not is_new:
        _check_settings(config, status, flags)
    rows: list[dict[str, Any]] = []
    if is_new:
        client = session.client()
        status = _loaded(client, status, session.output)
        rows = client.ask(calls.replicas()) if status.get("replicas") else []
    session.output.result({**status, "started": is_new}, running_line(status, is_new=is_new))
    for text in _not_up(status, rows):
        session.output.warning(text)


def _loaded(client: AdminClient, status: dict[str, Any], output: Output) -> dict[str, Any]:
    """Wait until the models that the daemon began with are up; return its status then."""
    if status.get("loading"):
        output.working(f"loading {', '.join(status['loading'])}")
    status = wait_until_loaded(client, status)
    output.settle()
    return status


def _not_up(status: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for each model that is still loading, and for each replica that could not."""
    lines = [
        f"{name} is still loading: servd ps    shows when it is ready"
        for name in status.get("loading", ())
    ]
    lines += [
        f"{row['model']}:{row['version']} replica {row['replica']} is not up: {row['last_error']}; "
        f"servd logs {row['model']}    shows more"
        for row in rows
        if row.get("last_error") and row["state"] != "ready"
    ]
    return lines


def running_line(status: dict[str, Any], *, is_new: bool) -> str:
    """Return the line that says where the daemon answers."""
    already = "" if is_new else "already "
    return (
        f"servd {status['version']} is {already}running  "
        f"query {status['query_url']}  admin {status['admin_url']}"
    )


def _check_settings(config: Config, status: dict[str, Any], flags: dict[str, Any]) -> None:
    """Refuse where a flag or a variable gives what the running daemon does not have.

    Raises:
        ConflictError: the message names what differs, and both values; of a token none.
    """
    asked, running = asked_settings(flags, os.environ), status.get("settings") or {}
    words = [_difference(name, asked, running, flags) for name in differing(asked, running)]
    if os.environ.get("SERVD_TOKEN"):
        words += _token_difference(config, status)
    if words:
        raise ConflictError(
            f"a servd daemon runs already (pid {status['pid']}), with other settings: "
            f"{'; '.join(words)}",
            hint="servd stop first, or give another daemon its own folder: --data-dir DIR",
        )


def _difference(
    name: str, asked: dict[str, Any], running: dict[str, Any], flags: dict[str, Any]
) -> str:
    if flags.get(name) is not None:
        return f"--{name.replace('_', '-')} is {flags[name]} here and {running[name]} there"
    value: Any = os.environ[f"SERVD_{name.upper()}"]
    if name in asked and isinstance(asked[name], tuple):  # an index may have a password
        value = told(asked[name])
    return f"SERVD_{name.upper()} is {value} here and {running[name]} there"


def _token_difference(config: Config, status: dict[str, Any]) -> list[str]:
    """Return what is wrong with the token that this command was given, if anything.

    The daemon never tells its own, and asks nobody for it on the socket: its port is asked.
    """
    if not status.get("has_token", True):
        return ["SERVD_TOKEN is set here, and the daemon has no token"]
    try:
        AdminClient(parse_address(status["admin_url"]), config.token).ask(calls.status())
    except ApiError as error:
        return ["SERVD_TOKEN is not the daemon's token"] if error.status == 401 else []
    except ServdError:
        return []  # its port cannot be reached from here
    return []

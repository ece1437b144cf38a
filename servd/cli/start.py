"""`servd start`."""

import os
from typing import Any

from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.cli.settings import daemon_settings, force_option


@verb("start", examples=("servd start", "servd start --query-port 8000 --data-dir ./serving"))
@daemon_settings
@force_option
@pass_session
def command(session: Session, /, *, is_forced: bool, **flags: Any) -> None:
    """Start the daemon in the background. Returns when it answers, or says why it does not.

    Where one runs already, exits with 0 if it has the settings that were given, else with 1.
    """
    from servd.cli.spawn import start_daemon  # noqa: PLC0415 - help does without

    status, is_new = start_daemon(session.load_config(flags), flags, is_forced=is_forced)
    if not is_new:
        _check_settings(status, flags)
    session.output.result({**status, "started": is_new}, running_line(status, is_new=is_new))


def running_line(status: dict[str, Any], *, is_new: bool) -> str:
    """Return the line that says where the daemon answers."""
    already = "" if is_new else "already "
    return (
        f"servd {status['version']} is {already}running  "
        f"query {status['query_url']}  admin {status['admin_url']}"
    )


def _check_settings(status: dict[str, Any], flags: dict[str, Any]) -> None:
    """Refuse where a flag or a variable gives what the running daemon does not have.

    Raises:
        ConflictError: the message names what differs, and both values.
    """
    from servd.config import asked_settings, differing  # noqa: PLC0415 - help does without
    from servd.errors import ConflictError  # noqa: PLC0415

    asked, running = asked_settings(flags, os.environ), status.get("settings") or {}
    words = [_difference(name, running, flags) for name in differing(asked, running)]
    if words:
        raise ConflictError(
            f"a servd daemon runs already (pid {status['pid']}), with other settings: "
            f"{'; '.join(words)}",
            hint="servd stop first, or give another daemon its own folder: --data-dir DIR",
        )


def _difference(name: str, running: dict[str, Any], flags: dict[str, Any]) -> str:
    is_flag = flags.get(name) is not None
    place = f"--{name.replace('_', '-')}" if is_flag else f"SERVD_{name.upper()}"
    value = flags[name] if is_flag else os.environ[f"SERVD_{name.upper()}"]
    return f"{place} is {value} here and {running[name]} there"

"""`servd start`."""

from typing import Any

from servd.cli.command import verb
from servd.cli.session import Session, pass_session
from servd.cli.settings import daemon_settings


@verb("start", examples=("servd start", "servd start --query-port 8000 --data-dir ./serving"))
@daemon_settings
@pass_session
def command(session: Session, /, **flags: Any) -> None:
    """Start the daemon in the background. Returns when it answers, or says why it does not."""
    from servd.cli.spawn import start_daemon  # noqa: PLC0415 - help does without

    status, is_new = start_daemon(session.load_config(flags), flags)
    session.output.result({**status, "started": is_new}, running_line(status, is_new=is_new))


def running_line(status: dict[str, Any], *, is_new: bool) -> str:
    """Return the line that says where the daemon answers."""
    already = "" if is_new else "already "
    return (
        f"servd {status['version']} is {already}running  "
        f"query {status['query_url']}  admin {status['admin_url']}"
    )

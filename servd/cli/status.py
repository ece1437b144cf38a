"""`servd status`."""

from typing import Any

from servd.cli.output import duration, size
from servd.cli.session import Session
from servd.cli.verb import verb
from servd.client import calls
from servd.quantities import counted


@verb("status", examples=("servd status", "servd status --json | jq -r .query_url"))
def command(session: Session) -> None:
    """Show whether the daemon runs, and where. Exits with 3 where it does not."""
    status = session.client().ask(calls.status())
    output = session.output
    if output.is_json:
        output.document(status)
        return
    output.answer(f"servd {status['version']} is running")
    output.fields(
        [
            ("query", status["query_url"]),
            ("admin", status["admin_url"]),
            ("pid", str(status["pid"])),
            ("up", duration(status["uptime_s"])),
            ("data", str(status["data_dir"])),
            *_python(status),
            ("serving", serving(status)),
            *([("building", building(status))] if status.get("building") else []),
            ("memory", size(status.get("memory_bytes"))),
        ]
    )


def building(status: dict[str, Any]) -> str:
    """Return the versions whose environments are being built, in words."""
    return f"the environments of {', '.join(status['building'])}: servd ps    shows how it goes"


def _python(status: dict[str, object]) -> list[tuple[str, str]]:
    """Return servd's own environment, of a daemon that tells it."""
    if not status.get("prefix"):
        return []
    return [("python", f"{status['prefix']} (Python {status['python']})")]


def serving(status: dict[str, object]) -> str:
    """Return the counts of what is served, in words."""
    nouns = ("application", "model", "replica")
    return ", ".join(counted(int(str(status[f"{noun}s"])), noun) for noun in nouns)

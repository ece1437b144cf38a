"""What models and the daemon have logged, line by line. Used by `servd logs` and the clients."""

from collections.abc import Iterator
from dataclasses import replace

from servd.client import calls
from servd.client.admin import AdminClient
from servd.client.calls import LogsWanted
from servd.errors import NotFoundError


def log_lines(client: AdminClient, name: str, wanted: LogsWanted) -> Iterator[str]:
    """Yield the lines of a model's log, of an application's models', or of the "daemon".

    Raises:
        NotFoundError: there is nothing of that name.
    """
    try:
        yield from client.lines(calls.logs(name, wanted).path)
    except NotFoundError:
        linked = [] if wanted.version else _linked_models(client, name)
        if not linked:
            raise
        for one in linked:
            yield from client.lines(calls.logs(one, replace(wanted, version=None)).path)


def _linked_models(client: AdminClient, name: str) -> list[str]:
    """Return the models of the application of that name, or none where there is no such one."""
    try:
        linked: list[str] = client.ask(calls.application(name))["linked_models"]
    except NotFoundError:
        return []
    return linked

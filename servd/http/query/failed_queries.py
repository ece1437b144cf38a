"""Which queries a model failed on, told to the log once a second. Filled by connection.py.

A caller's error carries a query id and nothing of the model's own; with the line that has the same
id, whoever runs the daemon finds the time, the model, and so the traceback in the model's log.
"""

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from servd.engine.query import Why
    from servd.engine.route import Route

logger = logging.getLogger(__name__)

_MAX_NAMED: Final = 1000
"""Ids in one line; of a model that fails on every query the others are counted."""

_MAX_LINES: Final = 100
"""Each has its own reason, and a reason may quote what a model returned."""


class FailedQueries:
    """The ids of queries that failed since the last line, by application and reason."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str | None, str], list[int]] = {}
        self._more = 0

    def note(self, route: "Route", why: "Why", query_id: int) -> None:
        """Take one that failed. Called where its caller is told so."""
        key = (route.name, route.model, why.logged)
        if key not in self._ids and len(self._ids) >= _MAX_LINES:
            self._more += 1
            return
        ids = self._ids.setdefault(key, [])
        if len(ids) < _MAX_NAMED:
            ids.append(query_id)
        else:
            self._more += 1

    def flush(self) -> None:
        """Write what came since the last time. Called once a second, by the server."""
        if not self._ids:
            return
        told, more = self._ids, self._more
        self._ids, self._more = {}, 0
        for (app, model, reason), ids in told.items():
            logger.warning(
                "%s: no output for query %s: %s (servd logs %s)", app, ranges(ids), reason, model
            )
        if more:
            logger.warning("and %d more", more)


def ranges(ids: list[int]) -> str:
    """Return numbers as people write them: 1, 4-6."""
    parts: list[list[int]] = []
    for number in sorted(ids):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)

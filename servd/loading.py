"""Waiting for a replica's first load, and telling of it. Used by the supervisor."""

from collections.abc import Callable

from servd.datatypes import DeployEvent
from servd.errors import ServdError
from servd.replica import Replica

Report = Callable[[DeployEvent], None]
"""Who is told of a deployment's progress."""


async def await_loaded(replica: Replica, report: Report | None, *, fail_fast: bool) -> None:
    """Return when it is ready, or, unless `fail_fast`, when its first load has failed."""
    try:
        await replica.loaded()
    except ServdError:
        if fail_fast:
            raise
        return
    if report is not None:
        report(
            DeployEvent(
                event="loaded",
                model=replica.spec.version.model,
                version=replica.spec.version.version,
                replica=replica.spec.replica,
                pid=replica.pid,
                duration_ms=round(replica.load_s * 1000, 1),
            )
        )

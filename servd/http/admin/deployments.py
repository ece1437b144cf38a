"""Deployments in progress. Used by api.py, which tells a client of their events.

A deployment is a task of the admin server and not of the request that began it: a client that
hangs up stops nothing.
"""

import asyncio
from typing import Self

from servd.datatypes import DeployEvent, DeployRequest
from servd.deploying.deployer import Deployer
from servd.errors import ServdError
from servd.http.admin.problems import RequestRefusedError, problem_of, unexpected

Events = asyncio.Queue[DeployEvent | ServdError | None]
"""What happens in a deployment: events or one error, then None."""


class Deployments:
    """Runs deployments, as an async context manager."""

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.stop()
        await self._group.__aexit__(None, None, None)

    def stop(self) -> None:
        """Cancel what is in progress and refuse more. Called by admin.py at its end."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()

    def start(self, request: DeployRequest) -> Events:
        """Begin a deployment and return the queue of its events."""
        if self._is_stopping:
            raise _stopping()
        events: Events = asyncio.Queue()
        task = self._group.create_task(self._run(request, events))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return events

    async def _run(self, request: DeployRequest, events: Events) -> None:
        reported: list[DeployEvent] = []

        def report(event: DeployEvent) -> None:
            reported.append(event)
            events.put_nowait(event)

        try:
            last = await self._deployer.deploy(request, report)
            if last not in reported[-1:]:
                events.put_nowait(last)
        except asyncio.CancelledError:
            events.put_nowait(_stopping())
            raise
        except ServdError as error:
            events.put_nowait(error)
        except Exception as error:  # noqa: BLE001 - the boundary of a task
            events.put_nowait(unexpected(error))
        finally:
            events.put_nowait(None)
        await self._tidy(request.model)

    async def _tidy(self, model: str) -> None:
        try:
            await self._deployer.tidy(model)
        except Exception as error:  # noqa: BLE001 - as above; what is live is live
            unexpected(error)


def error_event(request: DeployRequest, version: str, error: ServdError) -> DeployEvent:
    """Return the last line of a deployment that failed."""
    return DeployEvent(
        event="error",
        model=request.model,
        version=version,
        message=error.message,
        error={**problem_of(error), "status": error.status},
    )


def _stopping() -> ServdError:
    return RequestRefusedError(503, "the daemon is stopping; nothing was deployed")

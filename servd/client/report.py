"""What a deployment has told, as the value that it comes to. Used by the clients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from servd.client.admin import ApiError
from servd.client.values import Deployment, LoadedReplica
from servd.datatypes import DeployEvent
from servd.errors import ServdError
from servd.packing.bundling import BundlePlan

OnEvent = Callable[[DeployEvent], object]
"""Called with each step: what the daemon tells, before it `progress`, `environment`, `warning`,
`note` and `bundled`."""


@contextmanager
def with_notes() -> Iterator[None]:
    """Have an error's traceback of the model, and its hint, shown where nobody catches it."""
    try:
        yield
    except ServdError as error:
        if hasattr(error, "__notes__"):
            raise  # it went through here before
        if error.traceback.strip() not in ("", error.message.strip()):
            error.add_note(error.traceback.rstrip())
        if error.hint:
            error.add_note(f"hint: {error.hint}")
        raise


class Report:
    """A `Reporter` (deployment.py) that keeps what it hears and hands it on."""

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self._on_event = on_event
        self._plan: BundlePlan | None = None
        self._bundle: str | None = None
        self._warnings: list[str] = []
        self._replicas: list[LoadedReplica] = []
        self._last: dict[str, Any] = {}

    def on_warning(self, text: str) -> None:
        """See Reporter."""
        self._warnings.append(text)
        self._tell(DeployEvent(event="warning", message=text))

    def on_note(self, text: str) -> None:
        """See Reporter."""
        self._warnings.append(text)
        self._tell(DeployEvent(event="note", message=text))

    def on_progress(self, text: str) -> None:
        """See Reporter."""
        self._tell(DeployEvent(event="progress", message=text))

    def on_environment(self, line: str) -> None:
        """See Reporter."""
        self._tell(DeployEvent(event="environment", message=line))

    def on_bundled(self, plan: BundlePlan, digest: str, duration_ms: float) -> None:
        """See Reporter."""
        self._plan = plan
        self._bundle = digest
        self._tell(DeployEvent(event="bundled", message=plan.description, duration_ms=duration_ms))

    def on_accepted(self, answer: dict[str, Any]) -> None:
        """See Reporter."""
        self._last = {"event": "accepted", **answer}

    def on_event(self, event: dict[str, Any]) -> None:
        """See Reporter.

        Raises:
            ApiError: the deployment failed.
        """
        self._last = event
        told = msgspec.convert(event, DeployEvent)
        self._tell(told)
        if told.event == "error":
            raise self._failure(told.error or {})
        if told.event == "loaded":
            loaded = LoadedReplica(
                replica=told.replica,
                pid=told.pid,
                duration_ms=told.duration_ms,
                test=told.test or {},
                device=told.device,
                limits=told.limits,
            )
            self._replicas.append(loaded)

    def _tell(self, event: DeployEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def _failure(self, problem: dict[str, Any]) -> ApiError:
        error = ApiError(int(problem.get("status") or 422), problem)
        if self._plan is not None:
            error.hint = self._plan.failure_hint(error.message, Path.cwd()) or error.hint
        return error

    def result(self) -> Deployment:
        """Return what came of it.

        Raises:
            ServdError: the stream ended before the deployment did.
        """
        last = self._last
        if last.get("event") not in ("live", "unchanged", "accepted"):
            raise ServdError(
                "the daemon ended the deployment's report early",
                hint="servd status    tells whether it still runs; servd ps what became of it",
            )
        message = last.get("message")
        return Deployment(
            model=last["model"],
            version=last.get("version") or None,
            state=last["event"],
            app=last.get("app"),
            query_url=last.get("query_url"),
            slo_ms=last.get("slo_ms"),
            bundle=self._bundle,
            signature=last.get("signature"),
            replicas=tuple(self._replicas),
            warnings=(*self._warnings, *([message] if message else [])),
        )

"""Tells how a deployment goes: lines for people, or one JSON document. Used by deploy.py."""

import json
from typing import TYPE_CHECKING, Any

from servd.cli.output import Output
from servd.cli.predict import curl_line
from servd.client import ApiError
from servd.errors import ServdError

if TYPE_CHECKING:
    from servd.bundling import BundlePlan


class Progress:
    """Hears of each step in order and writes it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._warnings: list[str] = []
        self._replicas: list[dict[str, Any]] = []
        self._plan: BundlePlan | None = None
        self._bundle = ""
        self._name = ""
        self._last: dict[str, Any] = {}

    def on_warning(self, text: str) -> None:
        """Say what may go wrong."""
        self._warnings.append(text)
        self._output.warning(text)

    def on_note(self, text: str) -> None:
        """Say what was decided for the user."""
        self._warnings.append(text)
        self._output.line(f"note: {text}")

    def on_started(self, status: dict[str, Any]) -> None:
        """Say that a daemon had to be started."""
        self._output.step("started", f"servd {status['version']}, pid {status['pid']}")

    def on_bundled(self, plan: "BundlePlan", digest: str, duration_ms: float) -> None:
        """Say what was packed."""
        self._plan = plan
        self._bundle = digest
        self._output.step("bundled", plan.description, duration_ms)
        self._output.working("loading and testing the model")

    def on_accepted(self, answer: dict[str, Any]) -> None:
        """Say that it goes on without us."""
        name = f"{answer['model']}:{answer['version']}"
        self._output.result(
            {"event": "accepted", **answer, "bundle": self._bundle, "warnings": self._warnings},
            f"{name} is being deployed: servd ps    shows it",
        )

    def on_event(self, event: dict[str, Any]) -> None:
        """Tell one line of the daemon's stream.

        Raises:
            ApiError: the deployment failed.
        """
        self._last = event
        kind = event["event"]
        if kind == "error":
            raise self._failure(event)
        if event.get("model"):
            self._name = f"{event['model']}:{event.get('version', '')}"
        if kind == "loaded":
            self._on_loaded(event)
        elif kind in ("live", "unchanged"):
            self._on_live(event)

    def _on_loaded(self, event: dict[str, Any]) -> None:
        keys = ("replica", "pid", "duration_ms")
        self._replicas.append({key: event.get(key, 0) for key in keys})
        # An image without files tests itself, or does not: nobody can tell.
        is_tested = self._plan is None or not self._plan.manifest.skip_test
        tested = "test call ok" if is_tested else "not tested"
        process = f", pid {event['pid']}" if event.get("pid") else ""
        detail = f"replica {event.get('replica') or 0}{process}, {tested}"
        self._output.step("loaded", detail, event.get("duration_ms"))

    def _on_live(self, event: dict[str, Any]) -> None:
        app = event.get("app")
        word = event["event"]
        self._output.step(word, f"{self._name} → app {app}" if app else self._name)
        if event.get("message"):
            self.on_note(event["message"])
        if app and event.get("query_url"):
            self._output.line(f"  {self._curl(event)}")

    def _curl(self, event: dict[str, Any]) -> str:
        value = example_input(self._plan) if self._plan else []
        body = json.dumps({"input": value}, separators=(",", ":"))
        return curl_line(event["query_url"], body)

    def _failure(self, event: dict[str, Any]) -> ApiError:
        problem = event.get("error") or {}
        error = ApiError(int(problem.get("status") or 422), problem)
        name = self._name or f"{event.get('model', '')}:{event.get('version', '')}".strip(":")
        kept = f"{name} was not switched in; nothing else changed"
        if self._output.is_terminal:
            self._output.failed_step("loading", kept)
        elif not self._output.is_json:
            if error.traceback.strip() == error.message.strip():
                error.traceback = ""
            error.traceback = f"{error.traceback.rstrip()}\n({kept})".lstrip("\n")
        return error

    def on_interrupt(self) -> None:
        """Say that the daemon goes on without us."""
        name = self._name or "the deployment"
        self._output.warning(f"{name} is still being deployed: servd ps    shows it")

    def settle(self) -> None:
        """Take away what tells that something goes on."""
        self._output.settle()

    def finish(self) -> None:
        """Write the document in JSON mode.

        Raises:
            ServdError: the stream ended before the deployment did.
        """
        if self._last.get("event") not in ("live", "unchanged"):
            raise ServdError(
                "the daemon ended the deployment's report early",
                hint="servd status    tells whether it still runs; servd ps what became of it",
            )
        if self._output.is_json:
            document = {key: value for key, value in self._last.items() if value is not None}
            document |= {"bundle": self._bundle or None, "replicas": self._replicas}
            if "query_url" in document:
                document["curl"] = self._curl(document)
            self._output.document(document | {"warnings": self._warnings})


def example_input(plan: "BundlePlan") -> Any:
    """Return an input that the model may take, for the curl line."""
    manifest, count = plan.manifest, plan.found.row_items
    if manifest.example is not None:
        return manifest.example
    values: dict[str, Any] = {
        "integers": [1] * count if count else [1, 2, 3],
        "strings": "some text",
        "bytes": "c29tZSBieXRlcw==",
        "any": {"key": "value"},
    }
    return values.get(manifest.input_type, [1.0] * count if count else [1.1, 2.2, 3.3])

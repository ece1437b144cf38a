"""Tells how a deployment goes: lines for people, or one JSON document. Used by deploy_body.py."""

import json
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from servd.cli.files import BYTES, File
from servd.cli.predict import Query
from servd.cli.session import Session
from servd.client.admin import ApiError, query_base
from servd.errors import ServdError
from servd.logs.printable import in_json
from servd.packing.bundling import BundlePlan
from servd.quantities import longer_objective_s, shown_duration
from servd.schemas.tested import tested

_REACH_TIMEOUT_S: Final = 10.0
_VARIES: Final = (
    "asked the same twice, the model returned two outputs, and what it answers is kept for equal "
    "inputs: --no-cache has each computed"
)


class Progress:
    """Hears of each step in order and writes it.

    `example_file` is the file that the deployer's example is, where it is one.
    """

    def __init__(self, session: Session, *, is_cached: bool = True) -> None:
        self._session = session
        self._is_cached = is_cached
        self._output = session.output
        self._warnings: list[str] = []
        self._replicas: list[dict[str, Any]] = []
        self._plan: BundlePlan | None = None
        self.example_file: File | None = None
        self._bundle = ""
        self._environment = ""
        self._test: dict[str, Any] = {}
        self._curl: str | None = None
        self._limits: list[str] = []
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

    def on_progress(self, text: str) -> None:
        """Show what goes on while an environment is made."""
        self._output.working(text)

    def on_environment(self, line: str) -> None:
        """Say in which environment the model is to run."""
        self._environment = line
        self._output.step("environment", line)

    def on_bundled(self, plan: BundlePlan, digest: str, duration_ms: float) -> None:
        """Say what was packed."""
        self._plan = plan
        self._bundle = digest
        self._output.step("bundled", plan.description, duration_ms)
        self._output.working("loading and testing the model")

    def on_accepted(self, answer: dict[str, Any]) -> None:
        """Say that it goes on without us."""
        name = _name(answer)
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
            self._name = _name(event)
        if kind == "pulling":
            self._output.working(f"pulling {event.get('message', 'the image')}")
        elif kind == "environment":
            self._on_environment(event)
        elif kind == "loaded":
            self._on_loaded(event)
        elif kind in ("live", "unchanged"):
            self._on_live(event)

    def _on_environment(self, event: dict[str, Any]) -> None:
        """Tell how the building of the version's environment goes, and which one it has become."""
        text, took_ms = event.get("message", ""), event.get("duration_ms")
        if took_ms is None:
            self._output.working(f"environment: {text}")
        else:
            self._output.step("environment", text, took_ms)

    def _on_loaded(self, event: dict[str, Any]) -> None:
        replica = {key: event.get(key, 0) for key in ("replica", "pid", "duration_ms")}
        replica |= {key: event[key] for key in ("device", "limits") if event.get(key)}
        test = event.get("test") or {}
        self._replicas.append(replica | ({"test": test} if test else {}))
        process = f", pid {event['pid']}" if event.get("pid") else ""
        # What several replicas have all been asked is said of the first.
        said = "test call ok" if _is_same(test, self._test) else tested(test)
        device = f" on {event['device']}" if event.get("device") else ""
        detail = f"replica {event.get('replica') or 0}{process}{device}, {said}"
        self._output.step("loaded", detail, event.get("duration_ms"))
        self._tell_limits(event.get("limits") or [])
        if not self._test:
            self._test = test
            if test.get("varies") and self._is_cached:
                self.on_warning(_VARIES)
            for text in [*remarks_of(test), *self._lacked(test.get("reasons") or [])]:
                self.on_warning(text)

    def _tell_limits(self, limits: list[str]) -> None:
        """Say by what replicas are kept to what they may use, where the last was not kept so."""
        if limits and limits != self._limits:
            self._output.step("limits", "; ".join(limits))
        self._limits = limits

    def _lacked(self, reasons: list[str]) -> list[str]:
        """Return what lies in the project that the model missed on the inputs that were guessed."""
        if self._plan is None:
            return []
        hints = (self._plan.failure_hint(reason, Path.cwd()) for reason in reasons)
        return [*dict.fromkeys(filter(None, hints))]

    def _on_live(self, event: dict[str, Any]) -> None:
        app = event.get("app")
        word = event["event"]
        self._output.step(word, f"{self._name} → app {app}" if app else self._name)
        if event.get("message"):
            self.on_note(event["message"])
        is_slow = self._warn_if_slow(event)
        if event.get("web") and event.get("query_url"):
            self._curl = f"curl {event['query_url']}"
        elif app and event.get("query_url") and not is_slow:
            self._find_curl(event)
        if self._curl:
            self._output.line(f"  {self._curl}")

    def _warn_if_slow(self, event: dict[str, Any]) -> bool:
        call_ms, slo_ms = self._test.get("call_ms"), event.get("slo_ms")
        if not call_ms or not slo_ms or call_ms <= slo_ms:
            return False
        self.on_warning(
            f"the test call took {call_ms:.0f} ms and the objective of {event['app']} is "
            f"{slo_ms:g} ms: its queries get no output in time; "
            f"deploy it with --slo {shown_duration(longer_objective_s(call_ms))}"
        )
        return True

    def _find_curl(self, event: dict[str, Any]) -> None:
        """Keep the line that sends what the test call was answered for, if it would arrive.

        The model has answered this very input; what is tried here is the address and the token.
        """
        value = self._answered(event)
        if value is None:
            return
        url = urlsplit(event["query_url"])
        base = query_base(f"{url.scheme}://{url.netloc}", self._session.admin_url)
        query = Query(f"{base}{url.path}", self._body(value), self._session.config.token)
        try:
            status = query.reach(_REACH_TIMEOUT_S)
        except ServdError as error:
            self.on_warning(f"queries do not arrive: {error.message}")
            return
        if status == 200:
            self._curl = query.curl_line()
            if query.token and "SERVD_TOKEN" not in os.environ:
                self.on_note("SERVD_TOKEN has to be set for this line; servd.toml has it")
        elif status == 401:
            self.on_note("queries need the daemon's token: set SERVD_TOKEN")
        else:
            self.on_warning(f"queries are answered with {status} at {base}")

    def _body(self, value: Any) -> str | File:
        """Return what a query for this input sends: the deployer's own file, where it is that."""
        file = self.example_file
        if file is not None and value == file.base64:
            return file
        return in_json(json.dumps({"input": value}, separators=(",", ":"), ensure_ascii=False))

    def _answered(self, event: dict[str, Any]) -> Any:
        """Return an input that the model has answered, and queries may have; else None."""
        signature = event.get("signature")
        manifest = None if self._plan is None else self._plan.manifest
        known = None if manifest is None or manifest.skip_test else manifest.example
        if signature is not None:
            # What is long is not told; it was the only input that was tried.
            is_file = self.example_file is not None and signature.get("input_type") == BYTES
            return signature.get("example", known if is_file else None)
        return self._test.get("input", known) if self._test.get("state", "ok") == "ok" else None

    def _failure(self, event: dict[str, Any]) -> ApiError:
        problem = event.get("error") or {}
        error = ApiError(int(problem.get("status") or 422), problem)
        if self._plan is not None:
            error.hint = self._plan.failure_hint(error.message, Path.cwd()) or error.hint
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
            document["files"] = self._plan.contents if self._plan else []
            if self._environment:
                document["environment"] = self._environment
            if self._curl:
                document["curl"] = self._curl
            self._output.document(document | {"warnings": self._warnings})


def _name(told: dict[str, Any]) -> str:
    """Return model:version; the model alone while an image is pulled, as which version is open."""
    return f"{told['model']}:{told['version']}" if told.get("version") else str(told["model"])


def _is_same(test: dict[str, Any], first: dict[str, Any]) -> bool:
    """Return whether a replica has answered what the first one has, which was told."""
    if test.get("state") != "ok" or first.get("state") != "ok":
        return False
    return all(test.get(word) == first.get(word) for word in ("input", "input_bytes", "origin"))


def remarks_of(test: dict[str, Any]) -> list[str]:
    """Return why a model is not tested, and what would help."""
    reasons = test.get("reasons") or []
    texts = [f"the model raised on every input that was guessed: {'; '.join(reasons)}"]
    return ([*texts, *filter(None, [test.get("hint")])]) if reasons else []

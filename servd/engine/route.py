"""What the query path knows of one application. Built by engine.py from the registry's state.

A route outlives changes of its application's model; it is thrown away when the application is.
"""

from math import inf
from typing import Protocol

from servd.datatypes import Application, Inputs, InputType
from servd.engine.dispatcher import Dispatcher
from servd.engine.query import Lane, Query, Sink

PATIENCE = 0.15
"""Share of the objective that the event loop may be behind before queries are shed.

Small, as a loop that is far behind is slow as well: more connections are ready than caches hold.
At 0.15 the goodput at 1.2 times the peak is 85 % of the peak, at 0.2 it is 55 %, at 0.5 it is 60 %.
"""


class NoSuchVersionError(Exception):
    """A query names a version that the application's model does not have."""

    def __init__(self, version: str, model: str) -> None:
        super().__init__(f"{model} has no version {version}")
        self.version = version
        self.model = model


class Submitter(Protocol):
    """What a selection uses of the engine."""

    def submit(
        self, lane: Lane, dispatcher: Dispatcher | None, row: bytes, sink: Sink, index: int = 0
    ) -> Query:
        """Start a query for one version."""


class Selection(Protocol):
    """Decides which of an application's versions answer each query that names none."""

    def ask(self, engine: Submitter, route: "Route", row: bytes, sink: Sink, index: int) -> Query:
        """Start a query: `sink` is to hear of it once. Called by the engine, in its event loop."""


class Route(Lane):
    """An application as the query path sees it, and the lane of its queries.

    `current` is the current version's dispatcher, or None; `dispatcher` the one that answers every
    query that names no version, None where a `selection` decides. Where it `is_web` there are no
    queries: whatever comes below its name is passed on to a replica. `inputs` is what bodies are
    decoded by; it is another object where it has changed. While the event loop is behind by
    more than `patience_s`, queries are shed: refused before they are read. `body_hits` and `shed`
    are what the query path only counts up; `fold` adds them to the counters.
    """

    __slots__ = (
        "body_hits",
        "current",
        "default",
        "dispatcher",
        "input_type",
        "inputs",
        "is_open",
        "is_web",
        "model",
        "name",
        "patience_s",
        "selection",
        "shed",
        "versions",
    )

    def __init__(self, application: Application, default: bytes | None) -> None:
        super().__init__(0.0)
        self.body_hits = 0
        self.shed = 0
        self.is_open = True
        self.is_web = False
        self.current: Dispatcher | None = None
        self.dispatcher: Dispatcher | None = None
        self.selection: Selection | None = None
        self.model: str | None = None
        self.versions: dict[str, Dispatcher] = {}
        self.inputs = Inputs(application.input_type)
        self.update(application, default)

    def fold(self) -> None:
        """Count the hits by body and what was shed. Called once a second, and before figures."""
        hits, self.body_hits = self.body_hits, 0
        if hits:
            self.counters.known(hits)
        shed, self.shed = self.shed, 0
        if shed:
            self.counters.refuse(shed)

    def update(self, application: Application, default: bytes | None) -> None:
        """Take an application's settings; `default` is its default output as a JSON text."""
        self.name = application.name
        self.input_type: InputType = application.input_type
        # Clipper's clients may set an objective of 0 or less: its queries are late, not too many.
        self.slo_s = max(application.slo_us, 0) / 1e6
        self.patience_s = self.slo_s * PATIENCE if self.slo_s > 0 else inf
        self.default = default

    def take(self, inputs: Inputs) -> None:
        """Learn what the application takes; the same object as long as that is the same."""
        if inputs != self.inputs:
            self.inputs = inputs

    def renew(self, row: bytes, body: bytes) -> None:
        """Forget what is known of an input: who asks next wants it computed anew."""
        for dispatcher in self.versions.values():
            if dispatcher.cache is not None:
                dispatcher.cache.forget(row, body)

    def serve(
        self, model: str | None, versions: dict[str, Dispatcher], current: str | None
    ) -> None:
        """Take the linked model and its versions."""
        self.model = model
        self.versions = versions
        self.current = versions.get(current or "")
        self.dispatcher = None if self.selection is not None else self.current

    def select(self, selection: Selection | None) -> None:
        """Have each query answered as a selection decides; None: by the current version."""
        self.selection = selection
        self.dispatcher = None if selection is not None else self.current

    def named(self, version: str) -> Dispatcher | None:
        """Return the version that a query names; None where no model is linked.

        Raises:
            NoSuchVersionError: the linked model has no such version.
        """
        found = self.versions.get(version)
        if found is None and self.model is not None:
            raise NoSuchVersionError(version, self.model)
        return found

"""What the query path knows of one application. Built by engine.py from the registry's state.

A route outlives changes of its application's model; it is thrown away when the application is.
"""

from math import inf

from servd.datatypes import Application, InputType
from servd.dispatcher import Dispatcher
from servd.query import Lane

PATIENCE = 0.15
"""Share of the objective that the event loop may be behind before queries are shed.

Small, as a loop that is far behind is slow as well: more connections are ready than caches hold.
At 0.15 the goodput at 1.2 times the peak is 85 % of the peak, at 0.2 it is 55 %, at 0.5 it is 60 %.
"""


class Route(Lane):
    """An application as the query path sees it, and the lane of its queries.

    `dispatcher` is the current version's, or None. While the event loop is behind by more than
    `patience_s`, queries are shed: refused before they are read. `body_hits` and `shed` are what
    the query path only counts up; `fold` adds them to the counters.
    """

    __slots__ = (
        "application",
        "body_hits",
        "default",
        "dispatcher",
        "input_type",
        "is_open",
        "model",
        "name",
        "patience_s",
        "shed",
        "versions",
    )

    def __init__(self, application: Application, default: bytes | None) -> None:
        super().__init__(0.0)
        self.body_hits = 0
        self.shed = 0
        self.is_open = True
        self.dispatcher: Dispatcher | None = None
        self.model: str | None = None
        self.versions: dict[str, Dispatcher] = {}
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
        self.application = application
        self.name = application.name
        self.input_type: InputType = application.input_type
        # Clipper's clients may set an objective of 0 or less: its queries are late, not too many.
        self.slo_s = max(application.slo_us, 0) / 1e6
        self.patience_s = self.slo_s * PATIENCE if self.slo_s > 0 else inf
        self.default = default

"""What the query path knows of one application. Built by engine.py from the registry's state.

A route outlives changes of its application's model; it is thrown away when the application is.
"""

from collections import deque
from math import inf

from servd.datatypes import Application, InputType
from servd.dispatcher import Dispatcher
from servd.metrics import Counters
from servd.query import Query

PATIENCE = 0.15
"""Share of the objective that the event loop may be behind before queries are shed.

Small, as a loop that is far behind is slow as well: more connections are ready than caches hold.
At 0.15 the goodput at 1.2 times the peak is 85 % of the peak, at 0.2 it is 55 %, at 0.5 it is 60 %.
"""


class Route:
    """An application as the query path sees it.

    `dispatcher` is the current version's, or None. `waiting` holds the unanswered queries in the
    order of their deadlines, which is the order of arrival because an application has one
    objective; answered ones stay in it until they reach its head. From a length of `watch_from` on,
    a new query needs a look: 0 while no timer runs for their deadlines. `lost` counts those that
    ended without an output since the dispatcher last sent all that waited. While the event loop is
    behind by more than `patience_s`, queries are shed: refused before they are read.
    """

    __slots__ = (
        "_counters",
        "application",
        "body_hits",
        "default",
        "dispatcher",
        "full_until_s",
        "input_type",
        "is_open",
        "lost",
        "model",
        "name",
        "patience_s",
        "row_bytes",
        "shed",
        "slo_s",
        "timer",
        "versions",
        "waiting",
        "watch_from",
    )

    def __init__(self, application: Application, default: bytes | None) -> None:
        self.body_hits = 0
        self.shed = 0
        self._counters = Counters()
        self.waiting: deque[Query] = deque()
        self.is_open = True
        self.lost = 0
        self.full_until_s = 0.0
        self.timer: object | None = None
        self.watch_from = 0
        self.dispatcher: Dispatcher | None = None
        self.model: str | None = None
        self.versions: dict[str, Dispatcher] = {}
        self.update(application, default)

    @property
    def counters(self) -> Counters:
        """What it has done, with what the query path only counts up: hits by body, and shed."""
        hits, self.body_hits = self.body_hits, 0
        if hits:
            self._counters.known(hits)
        shed, self.shed = self.shed, 0
        if shed:
            self._counters.refuse(shed)
        return self._counters

    def update(self, application: Application, default: bytes | None) -> None:
        """Take an application's settings; `default` is its default output as a JSON text."""
        self.application = application
        self.name = application.name
        self.input_type: InputType = application.input_type
        # Clipper's clients may set an objective of 0 or less: its queries are late, not too many.
        self.slo_s = max(application.slo_us, 0) / 1e6
        self.patience_s = self.slo_s * PATIENCE if self.slo_s > 0 else inf
        self.default = default

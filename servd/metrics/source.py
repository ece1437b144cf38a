"""What metrics are made of: an engine's own figures, or the sum of several frontends'.

`servd.engine.engine.Engine` and `servd.frontends.totals.Totals` are such; exposition.py reads it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from servd.clock import Clock
from servd.datatypes import VersionId
from servd.metrics.counters import Counters


class ApplicationFigures(Protocol):
    """Of one application."""

    @property
    def counters(self) -> Counters:
        """What it has answered."""


class VersionFigures(Protocol):
    """Of one model version."""

    @property
    def counters(self) -> Counters:
        """What it has computed."""

    @property
    def slots(self) -> Sequence[object]:
        """One item for each replica in rotation."""

    @property
    def misfits(self) -> int:
        """Return how many replicas get nothing, as they hold another model than the version's."""

    @property
    def queued(self) -> int:
        """Queries that were not sent yet."""

    def limits(self) -> list[int]:
        """Return the present batch limits."""


class CacheFigures(Protocol):
    """Of the prediction cache."""

    @property
    def used_bytes(self) -> int:
        """Bytes in use."""

    @property
    def limit_bytes(self) -> int:
        """The bound."""

    @property
    def evictions(self) -> int:
        """Entries dropped to stay within the bound."""


class MetricsSource(Protocol):
    """Of all that answers queries."""

    @property
    def by_name(self) -> Mapping[str, ApplicationFigures]:
        """The applications."""

    @property
    def dispatchers(self) -> Mapping[VersionId, VersionFigures]:
        """The model versions."""

    @property
    def cache(self) -> CacheFigures:
        """The cache."""

    @property
    def clock(self) -> Clock:
        """The clock of the rates."""

    def fold(self) -> None:
        """Bring all counters up to now. Called before they are read."""

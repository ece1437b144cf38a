"""The row of `servd ps` of one replica. Used by the supervisor."""

import psutil

from servd.clock import Clock
from servd.datatypes import ReplicaStatus
from servd.replicas.loading import call_ms_of
from servd.replicas.replica import Replica

_KEEP_S = 1.0
_MAX_KEPT = 1024


class ReplicaFigures:
    """Puts rows together; a process's memory is read at most once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memory: dict[int, tuple[float, int | None]] = {}

    def status(self, replica: Replica, application: str | None) -> ReplicaStatus:
        """Return the row of a replica; `application` is one that its model is linked to."""
        connection = replica.connection
        window = connection.counters.window(self._clock()) if connection else None
        return ReplicaStatus(
            application=application,
            model=replica.spec.version.model,
            version=replica.spec.version.version,
            replica=replica.spec.replica,
            state=replica.state,
            pid=replica.pid,
            restarts=replica.restarts,
            requests_per_s=window.queries_per_s if window else 0.0,
            p50_ms=window.p50_ms if window else None,
            p99_ms=window.p99_ms if window else None,
            mean_batch=window.mean_batch if window else None,
            memory_bytes=self._memory_of(replica),
            runtime=replica.spec.version.runtime,
            test_ms=call_ms_of(replica.info),
            last_error=replica.failure.message if replica.failure else replica.last_death or None,
        )

    def _memory_of(self, replica: Replica) -> int | None:
        # A container's main process may only be the parent of the one that holds the model.
        if replica.pid is None or replica.spec.version.is_contained:
            return replica.memory_bytes
        return self._memory_bytes(replica.pid)

    def _memory_bytes(self, pid: int) -> int | None:
        now_s = self._clock()
        kept = self._memory.get(pid)
        if kept is not None and now_s - kept[0] < _KEEP_S:
            return kept[1]
        if len(self._memory) >= _MAX_KEPT:
            self._memory.clear()
        try:
            size: int | None = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            size = None
        self._memory[pid] = (now_s, size)
        return size

"""Which of several applications' waiting queries leave first, and when. Used by dispatcher.py."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from servd.engine.query import Query


def take_by_deadline(
    queues: list[deque[Query]],
    limit: int,
    back_s: float,
    now_s: float,
    is_wanted: Callable[[Query, float, float], bool],
) -> tuple[list[Query], int]:
    """Remove the most urgent queries; return those to send and how many were removed.

    Args:
        queues: one line of queries an application, each in the order of its deadlines, none empty.
        limit: how many may be sent.
        back_s: when a batch that leaves now is back.
        now_s: now.
        is_wanted: says of a query whether anybody waits for it until a time, and now; it takes note
            of those that nobody waits for.
    """
    taken: list[Query] = []
    removed = 0
    while queues and len(taken) < limit:
        queue = queues[0] if len(queues) == 1 else min(queues, key=_head_deadline)
        # The newest is due last. Where it would be late too, nothing is gained by refusing
        # the others, and only a batch can show that the replica is faster again.
        due_s = back_s if queue[-1].deadline_s > back_s else now_s
        query = queue.popleft()
        removed += 1
        if not queue:
            queues.remove(queue)
        if is_wanted(query, due_s, now_s):
            taken.append(query)
    return taken, removed


def drop_answered(
    queues: Iterable[deque[Query]], now_s: float, is_wanted: Callable[[Query, float, float], bool]
) -> int:
    """Take what nobody waits for off the queues' heads; return how many queries that were.

    A model that hangs must not let them grow.
    """
    removed = 0
    for queue in queues:
        while queue and queue[0].is_done and not is_wanted(queue[0], now_s, now_s):
            queue.popleft()
            removed += 1
    return removed


def _head_deadline(queue: deque[Query]) -> float:
    return queue[0].deadline_s


class BatchDelay:
    """Delayed batching (NSDI'17 §4.3.2): a short batch waits a moment to fill.

    Says whether to wait, and calls `on_waited` when the wait is over. Only versions deployed with a
    batch wait are delayed.
    """

    __slots__ = ("_on_waited", "_timer", "wait_s")

    def __init__(self, wait_s: float, on_waited: Callable[[], None]) -> None:
        self.wait_s = wait_s
        self._on_waited = on_waited
        self._timer: asyncio.TimerHandle | None = None

    def is_on(self, oldest_s: float, now_s: float) -> bool:
        """Whether a batch that is not full waits on, its oldest query being of `oldest_s`."""
        remaining_s = oldest_s + self.wait_s - now_s
        if remaining_s <= 0:
            return False
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(remaining_s, self._on_time)
        return True

    def _on_time(self) -> None:
        self._timer = None
        self._on_waited()

"""The prediction cache: outputs by input, per model version, bounded in bytes over all of them.

The query frontend probes `bodies` with a request's raw bytes before any JSON is read; the engine
probes `rows` with the decoded input. They are separate tables because a row of text can hold
exactly the bytes of some body, and those of bodies one each wire format, to which the same bytes
may mean another row.

Eviction is by two generations: entries go into the young one; when it is full it becomes the old
one and what was old is dropped. A hit in the old one moves the entry to the young (its second
chance). That is O(1) an operation and needs no order to be kept.
"""

from collections import deque
from collections.abc import Hashable
from itertools import repeat

from servd.engine.query import Query
from servd.engine.raw import is_short

ENTRY_OVERHEAD_BYTES = 176
"""Two bytes objects' headers (33 each) and a dictionary slot at its mean load (about 110)."""


class Table:
    """One table of one version. `young` is public so that a hit costs one dictionary look-up."""

    __slots__ = ("_cache", "old", "young")

    def __init__(self, cache: "PredictionCache") -> None:
        self._cache = cache
        self.young: dict[bytes, bytes] = {}
        self.old: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the output stored for `key`, or None."""
        found = self.young.get(key)
        if found is None and self.old:
            found = self.old.get(key)
            if found is not None:
                del self.old[key]
                self._cache.store(self, key, found)
        return found

    def put(self, key: bytes, output: bytes) -> None:
        """Store an output, unless the entry would take more than a share of the whole cache."""
        if key not in self.young:
            self._cache.store(self, key, output)

    def forget(self, key: bytes) -> None:
        """Drop an entry. Its room comes back with its generation's end."""
        self.young.pop(key, None)
        self.old.pop(key, None)


class VersionCache:
    """The part of the cache that belongs to one version, and its queries in flight by input.

    `pending` maps a row to the query that is being computed for it; queries for the same row join
    that one (`Query.followers`) and cost the model nothing.
    """

    __slots__ = ("_cache", "bodies", "pending", "rows")

    def __init__(self, cache: "PredictionCache") -> None:
        self._cache = cache
        self.bodies: dict[Hashable, Table] = {}
        self.rows = Table(cache)
        self.pending: dict[bytes, Query] = {}

    @property
    def tables(self) -> list[Table]:
        """All tables."""
        return [self.rows, *self.bodies.values()]

    def known_by(self, key: Hashable) -> Table:
        """Return the table of bodies of the wire format that `key` stands for."""
        table = self.bodies.get(key)
        if table is None:
            table = self.bodies[key] = Table(self._cache)
        return table

    def forget(self, row: bytes, body: bytes) -> None:
        """Have an input computed anew when it is asked next, and no query join an older one."""
        self.pending.pop(row, None)
        self.rows.forget(row)
        for table in self.bodies.values():
            table.forget(body)

    def keep(self, rows: list[bytes], outputs: list[bytes], size: int) -> None:
        """Store a batch's outputs, `size` bytes with the rows; its rows are in flight no more.

        Where the whole batch fits it is stored by calls that loop in C.
        """
        deque(map(self.pending.pop, rows, repeat(None)), maxlen=0)
        cache = self._cache
        size += ENTRY_OVERHEAD_BYTES * len(rows)
        if size <= cache.room_bytes and size <= cache.largest_bytes:
            cache.room_bytes -= size
            self.rows.young.update(zip(rows, outputs, strict=True))
        else:
            for row, output in zip(rows, outputs, strict=True):
                self.rows.put(row, output)

    def keep_short(self, rows: list[bytes], outputs: list[bytes], wanted: bytes) -> None:
        """Store those of a batch's outputs that are not long, and whose rows are not.

        A row that asks for a raw output which the replica was not told of (`wanted`) has got
        another answer than it will have of others.
        """
        for row, output in zip(rows, outputs, strict=True):
            self.pending.pop(row, None)
            is_as_asked = type(row) is bytes or bool(wanted)
            if is_as_asked and is_short(row) and is_short(output):
                self.rows.put(row, output)


class PredictionCache:
    """All versions' tables and the bound that they share.

    `room_bytes` is what the young generation may still take, `largest_bytes` the largest entry
    that is kept at all. An entry that is written again before a turn is counted twice: the count
    errs on the side of the bound.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.evictions = 0
        self.largest_bytes = limit_bytes // 8
        self._generation_bytes = limit_bytes // 2
        self.room_bytes = self._generation_bytes
        self._old_bytes = 0
        self._versions: set[VersionCache] = set()

    @property
    def is_enabled(self) -> bool:
        """Whether anything is ever kept."""
        return self.limit_bytes > 0

    @property
    def used_bytes(self) -> int:
        """Bytes counted for all entries, overhead included; never above the limit."""
        return self._generation_bytes - self.room_bytes + self._old_bytes

    def open(self) -> VersionCache | None:
        """Return the part of a new version; None when caching is off."""
        if not self.is_enabled:
            return None
        part = VersionCache(self)
        self._versions.add(part)
        return part

    def drop(self, part: VersionCache) -> None:
        """Forget a version's entries at once: a new version of that name starts clean."""
        self._versions.discard(part)
        for table in part.tables:
            self.room_bytes = min(self.room_bytes + _bytes_of(table.young), self._generation_bytes)
            self._old_bytes = max(self._old_bytes - _bytes_of(table.old), 0)
            table.young, table.old = {}, {}

    def store(self, table: Table, key: bytes, output: bytes) -> None:
        """Put an entry into a table's young generation; called by `Table` only."""
        size = len(key) + len(output) + ENTRY_OVERHEAD_BYTES
        if size > self.largest_bytes:
            return
        if size > self.room_bytes:
            self._turn()
        table.young[key] = output
        self.room_bytes -= size

    def _turn(self) -> None:
        for part in self._versions:
            for table in part.tables:
                self.evictions += len(table.old)
                table.old, table.young = table.young, {}
        self._old_bytes = self._generation_bytes - self.room_bytes
        self.room_bytes = self._generation_bytes


def _bytes_of(entries: dict[bytes, bytes]) -> int:
    return sum(len(k) + len(v) + ENTRY_OVERHEAD_BYTES for k, v in entries.items())

"""The prediction cache: its bound, its second chances, and what goes with a version."""

from hypothesis import given, settings
from hypothesis import strategies as st

from servd.engine.cache import ENTRY_OVERHEAD_BYTES, PredictionCache


def opened(limit_bytes):
    """Return a cache and one version's part of it."""
    cache = PredictionCache(limit_bytes)
    return cache, cache.open()


def really_held(parts):
    """Count the bytes of all entries."""
    return sum(
        len(key) + len(value) + ENTRY_OVERHEAD_BYTES
        for part in parts
        for table in part.tables
        for entries in (table.young, table.old)
        for key, value in entries.items()
    )


def test_what_was_put_is_found():
    """An output is found by its key, in the table it was put into only."""
    _cache, part = opened(10_000)
    part.rows.put(b"k", b"1")
    part.rows.put(b"k", b"2")
    assert part.rows.get(b"k") == b"1"
    assert part.known_by("form").get(b"k") is None


def test_used_entries_survive():
    """An entry that is read in each generation stays; one that is not goes."""
    cache, part = opened(40 * (ENTRY_OVERHEAD_BYTES + 8))
    part.rows.put(b"used", b"1")
    part.rows.put(b"idle", b"1")
    for n in range(200):
        part.rows.put(b"%04d" % n, b"1234")
        assert part.rows.get(b"used") == b"1"
    assert part.rows.get(b"idle") is None
    assert cache.evictions > 100


def test_large_entries_are_not_kept():
    """One entry may not push out most others."""
    cache, part = opened(8000)
    part.rows.put(b"k", b"x" * 900)
    assert part.rows.get(b"k") is None
    assert cache.used_bytes == 0


def test_a_cache_of_nothing():
    """Zero bytes switch it off."""
    cache = PredictionCache(0)
    assert not cache.is_enabled
    assert cache.open() is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "keep", "drop"]),
        st.integers(0, 2),
        st.booleans(),
        st.integers(0, 30),
        st.integers(0, 400),
    ),
    max_size=120,
)


class Kept:
    """A query as far as the cache looks at it."""

    def __init__(self, row):
        self.row = row


@settings(max_examples=2 * settings.default.max_examples, deadline=None)
@given(STEPS, st.integers(1, 6000))
def test_the_bound_holds(steps, limit_bytes):
    """Whatever is put, read and dropped, neither the count nor the entries exceed the bound."""
    cache = PredictionCache(limit_bytes)
    parts = [cache.open() for _ in range(3)]
    truth = [{} for _ in parts]
    for verb, which, is_row, number, size in steps:
        part, key, value = parts[which], b"%d" % number, b"x" * size
        table = part.rows if is_row else part.known_by("form")
        if verb == "put":
            table.put(key, value)
            truth[which].setdefault((is_row, key), set()).add(value)
        elif verb == "keep":
            part.keep([key, key + b"'"], [value, value], 2 * len(key + value) + 1)
            truth[which].setdefault((True, key), set()).add(value)
        elif verb == "get":
            found = table.get(key)
            assert found is None or found in truth[which][is_row, key]
        else:
            cache.drop(part)
            parts[which], truth[which] = cache.open(), {}
        assert really_held(parts) <= limit_bytes
        assert 0 <= cache.used_bytes <= limit_bytes
        assert really_held(parts) <= cache.used_bytes


def test_dropping_everything_leaves_nothing():
    """Once all versions are dropped no byte is counted."""
    cache, part = opened(3000)
    for n in range(50):
        part.rows.put(b"%d" % n, b"1")
        part.rows.get(b"%d" % (n - 1))
    cache.drop(part)
    other = cache.open()
    other.rows.put(b"a", b"b")
    assert really_held([other]) <= cache.used_bytes <= 3000


# --- what is counted, exactly: entries of one size, in a cache of which a generation takes ten ---

SIZE = 100
"""Bytes of a row and its output."""

ENTRY = SIZE + ENTRY_OVERHEAD_BYTES


def entry(number):
    """Return a row and an output of that size together."""
    return b"%04d" % number, b"x" * (SIZE - 4)


def of_ten():
    """Return a cache of two generations of ten entries, and one version's part."""
    return opened(20 * ENTRY + 20)  # not quite full with ten


def fill(table, numbers):
    """Put these entries into a table."""
    for number in numbers:
        table.put(*entry(number))


def test_each_entry_is_counted_once():
    """An entry costs its row, its output and the overhead; a known one costs nothing more."""
    cache, part = of_ten()
    fill(part.rows, [0, 0, 1])
    fill(part.known_by("form"), [0])
    assert cache.used_bytes == 3 * ENTRY
    assert cache.evictions == 0


def test_a_full_generation_becomes_the_old_one():
    """Ten entries fill it just so; the eleventh makes it old, and the twenty-first drops it."""
    cache, part = of_ten()
    fill(part.rows, range(10))
    assert (len(part.rows.young), len(part.rows.old)) == (10, 0)
    fill(part.rows, [10])
    assert (len(part.rows.young), len(part.rows.old)) == (1, 10)
    assert (cache.used_bytes, cache.evictions) == (11 * ENTRY, 0)
    fill(part.rows, range(11, 21))
    assert (len(part.rows.young), len(part.rows.old)) == (1, 10)
    assert (cache.used_bytes, cache.evictions) == (11 * ENTRY, 10)
    fill(part.rows, range(21, 31))
    assert (cache.used_bytes, cache.evictions) == (11 * ENTRY, 20)


def test_a_turn_takes_the_tables_of_every_version():
    """The generations are of the whole cache: another version's entries grow old as well."""
    cache, part = of_ten()
    other = cache.open()
    fill(part.known_by("form"), range(4))
    fill(other.rows, range(10))
    assert [len(table.old) for table in (part.known_by("form"), other.rows)] == [4, 6]


def test_a_second_chance_moves_the_entry():
    """An old entry that is read is young again, and in one place only."""
    cache, part = of_ten()
    fill(part.rows, range(11))
    key, output = entry(3)
    assert part.rows.get(key) == output
    assert key in part.rows.young
    assert key not in part.rows.old
    assert cache.used_bytes == 12 * ENTRY


def test_the_largest_entry_that_is_kept():
    """An entry of just an eighth of the cache is kept, one of a byte more is not."""
    cache, part = opened(16 * ENTRY)
    part.rows.put(b"0123", b"x" * (2 * ENTRY - ENTRY_OVERHEAD_BYTES - 4))
    assert cache.used_bytes == 2 * ENTRY
    part.rows.put(b"4567", b"x" * (2 * ENTRY - ENTRY_OVERHEAD_BYTES - 3))
    assert cache.used_bytes == 2 * ENTRY
    assert list(part.rows.young) == [b"0123"]


def kept(part, numbers, **extra):
    """Keep a batch of these entries whose rows were in flight, and other rows with them."""
    rows, outputs = map(list, zip(*map(entry, numbers), strict=True))
    part.pending |= {row: Kept(row) for row in [*rows, *extra.get("others", [])]}
    part.keep(rows, outputs, SIZE * len(rows))
    return rows


def test_a_batch_is_kept_and_in_flight_no_more():
    """Its outputs are found and counted; its rows are no longer pending, other rows are."""
    cache, part = opened(80 * ENTRY)
    rows = kept(part, range(10), others=[b"other"])
    assert [part.rows.get(row) for row in rows] == [entry(n)[1] for n in range(10)]
    assert cache.used_bytes == 10 * ENTRY
    assert list(part.pending) == [b"other"]


def test_a_row_that_nobody_waits_for_is_kept_too():
    """A row whose query has gone from those in flight does not disturb the others of its batch."""
    _cache, part = opened(80 * ENTRY)
    part.keep([b"a", b"b"], [b"1", b"2"], 4)
    assert part.rows.get(b"a") == b"1"
    assert part.rows.get(b"b") == b"2"


def test_a_batch_that_fills_the_room_is_kept_at_once():
    """What just fits is kept without a turn; one entry more and the generation turns."""
    cache, part = opened(80 * ENTRY)
    for batch in range(4):
        kept(part, range(10 * batch, 10 * batch + 10))
    assert cache.room_bytes == 0
    assert len(part.rows.young) == 40
    kept(part, [40])
    assert (len(part.rows.young), len(part.rows.old)) == (1, 40)


def test_a_batch_that_does_not_fit_is_kept_in_part():
    """Of a batch larger than a generation what fits is kept, its last entries at least."""
    cache, part = of_ten()
    kept(part, range(15))
    assert (len(part.rows.young), len(part.rows.old)) == (5, 10)
    assert cache.used_bytes == 15 * ENTRY
    assert not part.pending
    kept(part, range(100, 125))
    assert part.rows.get(entry(124)[0]) is not None
    assert cache.used_bytes <= cache.limit_bytes


def test_a_large_output_does_not_cost_its_batch_mates():
    """Of a batch with one output beyond the bound the others are kept."""
    cache, part = of_ten()
    large = b"x" * cache.largest_bytes
    part.keep([b"a", b"b", b"c"], [b"1", large, b"3"], 5 + len(large))
    assert part.rows.get(b"a") == b"1"
    assert part.rows.get(b"b") is None
    assert part.rows.get(b"c") == b"3"


def test_a_dropped_version_is_released():
    """Its bytes, young and old, are free again; another version's stay; turns forget it."""
    cache, part = of_ten()
    other = cache.open()
    fill(other.rows, [0])
    fill(part.rows, range(9))
    fill(part.known_by("form"), range(3))
    assert cache.used_bytes == 13 * ENTRY
    assert len(part.rows.old) == 9
    cache.drop(part)
    assert cache.used_bytes == ENTRY
    assert not any(table.young or table.old for table in part.tables)
    assert other.rows.old
    assert cache.room_bytes == cache.limit_bytes // 2
    assert cache._versions == {other}
    cache.drop(other)
    assert cache.used_bytes == 0


def test_dropping_never_counts_below_nothing():
    """Entries that grew old with a second chance are not taken off twice."""
    cache, part = of_ten()
    fill(part.rows, range(11))
    part.rows.get(entry(3)[0])
    cache.drop(part)
    assert cache.room_bytes == cache.limit_bytes // 2
    assert 0 <= cache.used_bytes <= ENTRY

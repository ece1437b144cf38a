"""The prediction cache: its bound, its second chances, and what goes with a version."""

from hypothesis import given, settings
from hypothesis import strategies as st

from servd.cache import ENTRY_OVERHEAD_BYTES, PredictionCache


def opened(limit_bytes):
    """Return a cache and one version's part of it."""
    cache = PredictionCache(limit_bytes)
    return cache, cache.open()


def really_held(parts):
    """Count the bytes of all entries."""
    return sum(
        len(key) + len(value) + ENTRY_OVERHEAD_BYTES
        for part in parts
        for table in (part.rows, part.bodies)
        for entries in (table.young, table.old)
        for key, value in entries.items()
    )


def test_what_was_put_is_found():
    """An output is found by its key, in the table it was put into only."""
    _cache, part = opened(10_000)
    part.rows.put(b"k", b"1")
    part.rows.put(b"k", b"2")
    assert part.rows.get(b"k") == b"1"
    assert part.bodies.get(b"k") is None


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


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 6000))
def test_the_bound_holds(steps, limit_bytes):
    """Whatever is put, read and dropped, neither the count nor the entries exceed the bound."""
    cache = PredictionCache(limit_bytes)
    parts = [cache.open() for _ in range(3)]
    truth = [{} for _ in parts]
    for verb, which, is_row, number, size in steps:
        part, key, value = parts[which], b"%d" % number, b"x" * size
        table = part.rows if is_row else part.bodies
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

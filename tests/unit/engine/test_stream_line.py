"""The line of a version that yields, by itself: places, deaths, idle streams."""

from types import SimpleNamespace

import pytest

from servd.datatypes import End, VersionId
from servd.engine.query import Lane, Miss
from servd.engine.stream import WINDOW_BYTES, Hearer, Stream, size_of
from servd.engine.stream_line import LOOK_S, StreamLine
from servd.metrics.counters import Counters


class Ear(Hearer):
    """Remembers what it heard; reads what it is told to."""

    def __init__(self, *, reads=True):
        self.reads = reads
        self.items = []
        self.ends = []
        self.misses = []

    def on_items(self, stream, items, size):
        """Take items."""
        self.items += items
        if self.reads:
            stream.release(size)

    def on_end(self, stream, why):
        """Take an end."""
        del stream
        self.ends.append(why)

    def on_output(self, query, output):
        """Take none."""
        del query, output
        raise AssertionError

    def on_miss(self, query, miss):
        """Take a miss."""
        del query
        self.misses.append(miss)

    def on_fault(self, error):
        """Take none."""
        raise error


class Connection:
    """A replica, as far as a line looks at it."""

    def __init__(self, places):
        self.places = places
        self.streams = {}
        self.tally = SimpleNamespace(add=lambda *_: None)
        self.said = []
        self._last = 0

    def open_stream(self, stream, _type_code, _credit):
        """Take a stream."""
        self._last += 1
        stream.place, stream.number = self, self._last
        self.streams[self._last] = stream
        self.said.append(("open", self._last))

    def grant(self, number, credit):
        """Take credit."""
        self.said.append(("credit", number, credit))

    def cancel_stream(self, number):
        """Take the news that a stream is not wanted."""
        self.said.append(("cancel", number))


class Stage:
    """A line with replicas and a clock."""

    def __init__(self, *places):
        self.now_s = 100.0
        self.counters = Counters()
        self.slots = [SimpleNamespace(connection=Connection(each)) for each in places]
        id_ = VersionId("m", "1")
        self.line = StreamLine(id_, self.slots, self.counters, lambda: self.now_s)
        self.connections = [slot.connection for slot in self.slots]
        for connection in self.connections:
            self.line.attach(connection)
        self.lane = Lane(1.0)

    def begin(self, ear):
        """Ask for a stream."""
        stream = Stream(self.lane, b"row", ear, 0, self.now_s, line=self.line)
        self.line.enqueue(stream)
        return stream

    def end(self, stream):
        """Let a stream come to its end."""
        del stream.place.streams[stream.number]
        self.line.on_end(stream, None)


def test_the_freest_replica_is_next_and_a_full_one_none():
    """By the share of its places; who finds none waits until one is free."""
    stage = Stage(4, 2)
    streams = [stage.begin(Ear()) for _ in range(7)]
    assert [len(each.streams) for each in stage.connections] == [4, 2]
    assert streams[6].place is None
    stage.end(streams[0])
    assert streams[6].place is not None


def test_one_that_is_not_waited_for_any_more_is_not_begun():
    """Its caller has hung up, or was told that it is late."""
    stage = Stage(1)
    first, second, third = (stage.begin(Ear()) for _ in range(3))
    second.stop()
    stage.end(first)
    assert second.place is None
    assert third.place is stage.connections[0]
    third.stop()
    third.stop()
    assert stage.connections[0].said.count(("cancel", third.number)) == 1


def test_what_is_read_is_granted_again():
    """Half a window at a time; of what is not read nothing."""
    stage = Stage(2)
    item = b"x" * 10_000
    reading, deaf = Ear(), Ear(reads=False)
    streams = [stage.begin(reading), stage.begin(deaf)]
    for _ in range(6):
        for stream in streams:
            stage.line.on_items(stream, [item])
    granted = [said for said in stage.connections[0].said if said[0] == "credit"]
    assert granted == [("credit", 1, 4 * size_of([item]))]
    assert streams[1].window == WINDOW_BYTES - 6 * size_of([item])


def test_an_idle_stream_breaks_off_unless_its_reader_is_why():
    """No item for as long as it may take, though one was wanted."""
    stage = Stage(2)
    idle, deaf = Ear(), Ear(reads=False)
    stage.line.on_items(stage.begin(idle), [b"1"])
    stage.line.on_items(stage.begin(deaf), [b"x" * WINDOW_BYTES])
    for _ in range(70):
        stage.now_s += 1
        stage.line.end_idle(stage.now_s, 60)
    assert "no item came for 60 s" in idle.ends[0].value
    assert not deaf.ends
    assert ("cancel", 1) in stage.connections[0].said


def test_a_time_in_which_this_process_stood_still_makes_nobody_idle():
    """What nobody could hear is not silence."""
    stage = Stage(2)
    ear = Ear()
    stage.line.on_items(stage.begin(ear), [b"1"])
    stage.line.end_idle(stage.now_s, 60)
    stage.now_s += 3600 + LOOK_S
    stage.line.end_idle(stage.now_s, 60)
    assert not ear.ends


@pytest.mark.parametrize(("count", "deaths"), [(1, 2), (3, 4)])
def test_a_stream_that_replicas_end_with_is_given_up(count, deaths):
    """After two deaths where it was alone, after four where others may have been the cause."""
    stage = Stage(8)
    (connection,) = stage.connections
    ears = [Ear() for _ in range(count)]
    for ear in ears:
        stage.begin(ear)
    for number in range(deaths):
        assert all(ear.misses == [] for ear in ears), number
        stage.line.on_lost(connection, End("ended (exit 7)", 1.0))
    assert [ear.misses[0].value for ear in ears] == [
        "No output: the replica ended (exit 7)"
    ] * count


def test_the_end_of_a_version_is_told_to_all():
    """Who waits is told that there is no model, who has begun that it broke off."""
    stage = Stage(1)
    begun, waiting = Ear(), Ear()
    stage.line.on_items(stage.begin(begun), [b"1"])
    stage.begin(waiting)
    stage.line.close()
    assert waiting.misses == [Miss.NO_MODEL]
    assert "removed" in begun.ends[0].value

"""The table of many front ends beside as many workers."""

from dataclasses import replace

from benchmarks.many_mode import HEADS, Pair, pairs_of, rows_of
from benchmarks.points import Point


def point(server: str, number: int, rate: float, connections: int = 256) -> Point:
    """Return a point of a round."""
    return Point("W1", server, "closed", connections, number, rate, 1.0, 2.0, 0, 10.0)


def test_the_widest_has_as_many_workers_beside_it_as_it_has_processes() -> None:
    """FastAPI's workers hold the model, so replicas count as workers once."""
    pairs = pairs_of((4, 1))
    assert pairs == [Pair(1, 1), Pair(4, 4), Pair(4, 6)]
    assert [pair.replicas for pair in pairs] == [1, 2, 2]
    assert pairs[-1].names == ("servd x4", "fastapi x6")


def test_ratios_are_those_of_each_round() -> None:
    """A round in which the machine is slow changes both rates: medians alone would mix rounds."""
    points = [
        *(point("servd", n, rate) for n, rate in enumerate((100.0, 10.0, 60.0))),
        *(point("servd x2", n, rate) for n, rate in enumerate((150.0, 15.0, 30.0))),
        *(point("fastapi", n, rate) for n, rate in enumerate((10.0, 1.0, 30.0))),
        *(point("fastapi x2", n, rate) for n, rate in enumerate((30.0, 3.0, 60.0))),
    ]
    rows = [dict(zip(HEADS, row, strict=True)) for row in rows_of(points, [Pair(1, 1), Pair(2, 2)])]
    assert [row["servd is"] for row in rows] == ["10.00x", "5.00x"]
    assert [row["beside the narrowest"] for row in rows] == ["1.00x", "1.50x"]
    assert [row["servd /s"] for row in rows] == ["60", "30"]


def test_defaults_are_no_answers() -> None:
    """Of 100 answers a second of which 40 are defaults, 60 count, in the rate and in ratios."""
    late = replace(point("servd", 0, 100.0), default_share=0.4)
    rows = rows_of([late, point("fastapi", 0, 10.0)], [Pair(1, 1)])
    row = dict(zip(HEADS, rows[0], strict=True))
    assert (row["servd /s"], row["late"], row["servd is"]) == ("60", "40.00%", "6.00x")


def test_numbers_of_connections_are_kept_apart() -> None:
    """A row holds the points of its number of connections only."""
    points = [
        *(point("servd", 0, rate, connections) for connections, rate in ((64, 50.0), (256, 80.0))),
        *(point("fastapi", 0, 10.0, connections) for connections in (64, 256)),
    ]
    rows = rows_of(points, [Pair(1, 1)])
    assert [(row[0], row[3], row[-2]) for row in rows] == [
        ("64", "50", "5.00x"),
        ("256", "80", "8.00x"),
    ]

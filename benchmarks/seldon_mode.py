"""`python -m benchmarks seldon`: a row of three as a tensor, to servd and to Seldon's wrapper.

The same class for both (`make checks` brings seldon-core-microservice), and beside them a function
of numbers that knows nothing of Seldon, by Seldon's protocol and by Clipper's.
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.daemon import Daemon
from benchmarks.environment import inputs_folder
from benchmarks.machine import describe_machine
from benchmarks.points import Point, medians
from benchmarks.report import print_progress
from benchmarks.servers import Server, ServerError, free_port
from benchmarks.settings import ROOT, Settings
from benchmarks.workloads import PICTURE, Workload
from benchmarks.wrk import Body, ClosedLoad, Target, run_wrk

WANTED = 3.0
"""So many times the answers of the wrapper servd gives with the same class, at 32 connections."""

JUDGED = 32
_WRAPPER = ROOT / ".seldon" / "bin" / "seldon-core-microservice"
_JSON = "application/json"
_TENSOR = {"data": {"names": ["a", "b", "c"], "tensor": {"shape": [1, 3], "values": [1.5, 2, 3]}}}
_ROW = {"input": [1.5, 2, 3]}
_WRAPPED = "seldon-core-microservice"


@dataclass(frozen=True, slots=True)
class Way:
    """How one row goes to a server."""

    name: str
    target: Target
    workload: Workload
    body: Body


@dataclass(frozen=True, slots=True)
class At(Workload):
    """A place of a server's."""

    place: str = ""

    @property
    def path(self) -> str:
        """Where it is."""
        return self.place


def run_seldon_mode(settings: Settings) -> dict[str, Any]:
    """Return the figures, and whether they are as promised.

    Raises:
        ServerError: seldon-core is not there, or a server answers something else.
    """
    if not _WRAPPER.exists():
        raise ServerError(f"{_WRAPPER} is not there: run `make checks` first")
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(settings))
        words = ("--slo", "1s", "--no-cache", "--no-start")
        models = ROOT / "benchmarks" / "models"
        daemon.servd("deploy", f"{models}/seldon_score.py:SeldonScore", "--name", "score", *words)
        daemon.servd("deploy", f"{models}/func.py:feature_sum", "--name", "sum", *words)
        wrapper = stack.enter_context(_wrapper(settings))
        ways = [*_ways(daemon, wrapper, inputs_folder(settings.work))]
        for way in ways:
            _check(way)
        points = [*_points(ways, settings)]
    rows = [dict(row) for row in medians(points)]
    return {"machine": describe_machine(settings), "rows": rows, "is_met": _is_met(rows)}


def _wrapper(settings: Settings) -> Server:
    """Return Seldon's wrapper as it is by itself: one worker of gunicorn."""
    ports = [free_port() for _ in range(3)]
    command = [
        *(str(_WRAPPER), "seldon_score.SeldonScore", "--service-type", "MODEL", "--http-port"),
        *(str(ports[0]), "--grpc-port", str(ports[1]), "--metrics-port", str(ports[2])),
    ]
    env = {"PYTHONPATH": str(ROOT / "benchmarks" / "models")}
    return Server(_WRAPPED, command, ports[0], env=env, log=settings.out / "seldon.log")


def _ways(daemon: Daemon, wrapper: Server, folder: Path) -> Iterator[Way]:
    bodies = {}
    for name, message in (("tensor", _TENSOR), ("row", _ROW)):
        path = folder / f"seldon-{name}.json"
        path.write_text(json.dumps(message, separators=(",", ":")))
        bodies[name] = Body(path, _JSON)
    place = "/seldon/n/{}/api/v1.0/predictions"
    for name, target, at, body in (
        (_WRAPPED, wrapper, "/api/v1.0/predictions", "tensor"),
        ("servd, the class", daemon, place.format("score"), "tensor"),
        ("servd, a function", daemon, place.format("sum"), "tensor"),
        ("servd, Clipper's protocol", daemon, "/sum/predict", "row"),
    ):
        made = At(PICTURE.key, name, PICTURE.name, PICTURE.target, 0, 1, place=at)
        yield Way(name, target, made, bodies[body])


def _check(way: Way) -> None:
    """Ask once, and insist on the sum."""
    connection = http.client.HTTPConnection("127.0.0.1", way.target.port, timeout=30)
    connection.request(
        "POST", way.workload.path, way.body.path.read_bytes(), {"Content-Type": _JSON}
    )
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200 or b"6.5" not in text:
        raise ServerError(f"{way.name} answered {answer.status}: {text[:200]!r}")


def _points(ways: list[Way], settings: Settings) -> Iterator[Point]:
    inputs = inputs_folder(settings.work)
    for number in range(settings.rounds + 1):  # the first warms up
        for connections in settings.connections:
            for way in ways:
                load = ClosedLoad(connections, settings.seconds)
                point = run_wrk(way.target, way.workload, inputs, load, way.body)
                if number:
                    point = replace(point, server=way.name, workload="Seldon", round=number)
                    print_progress(f"{way.name} at {connections}: {point.rate:,.0f}/s")
                    yield point


def _is_met(rows: list[dict[str, Any]]) -> bool:
    rates = {row["server"]: row["rate"] for row in rows if row["connections"] == JUDGED}
    return not rates or rates["servd, the class"] >= WANTED * rates[_WRAPPED]


def as_lines(results: dict[str, Any]) -> Iterator[str]:
    """Yield a table of the figures in Markdown."""
    yield "| conn | server | answers/s | p50 ms | p99 ms | µs CPU |"
    yield "|---|---|---|---|---|---|"
    for row in results["rows"]:
        figures = f"{row['rate']:,.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | "
        yield f"| {row['connections']} | {row['server']} | {figures}{row['cpu_us']:,.0f} |"

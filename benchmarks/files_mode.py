"""`python -m benchmarks files`: W8, a picture of 150 kB to servd and to FastAPI, in rounds.

As it is and as a form: FastAPI's manual has files come as an UploadFile, which is a form; its raw
body is what whoever knows better writes.
"""

import random
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
from benchmarks.servers import fastapi
from benchmarks.settings import Settings
from benchmarks.workloads import PICTURE, Workload
from benchmarks.wrk import Body, ClosedLoad, Target, run_wrk

BYTES = 150_000
WANTED = 2.0
"""So many times the answers of an UploadFile servd gives, at 32 connections."""

JUDGED = 32
_BOUNDARY = "------------------------d74496d66958873e"


@dataclass(frozen=True, slots=True)
class Way:
    """How a picture goes to a server."""

    name: str
    target: Target
    workload: Workload
    body: Body


def make_bodies(folder: Path) -> tuple[Body, Body]:
    """Write the picture, made up and always the same, as it is and as a form."""
    picture = b"\xff\xd8\xff\xe0" + random.Random(8).randbytes(BYTES - 4)
    head = 'Content-Disposition: form-data; name="file"; filename="cat.jpg"\r\n'
    begin = f"--{_BOUNDARY}\r\n{head}Content-Type: image/jpeg\r\n\r\n".encode()
    form = begin + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()
    (folder / "W8.jpg").write_bytes(picture)
    (folder / "W8.form").write_bytes(form)
    return (
        Body(folder / "W8.jpg", "application/octet-stream"),
        Body(folder / "W8.form", f"multipart/form-data; boundary={_BOUNDARY}"),
    )


def run_files_mode(settings: Settings) -> dict[str, Any]:
    """Return the figures, and whether they are as promised."""
    inputs = inputs_folder(settings.work)
    raw, form = make_bodies(inputs)
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(settings))
        words = ("--name", PICTURE.name, "--input-type", "bytes", "--slo", "1s")
        target = PICTURE.target_path(inputs)
        daemon.servd("deploy", target, *words, "--example", f"@{raw.path}", "--default", "-1")
        other = stack.enter_context(fastapi(PICTURE, settings, 1))
        ways = [
            Way("servd", daemon, PICTURE, raw),
            Way("servd, form", daemon, PICTURE, form),
            Way("fastapi, UploadFile", other, PICTURE, form),
            Way("fastapi, raw body", other, replace(PICTURE, name="raw"), raw),
        ]
        points = [*_points(ways, settings)]
    rows = [dict(row) for row in medians(points)]
    return {"machine": describe_machine(settings), "rows": rows, "is_met": _is_met(rows)}


def _points(ways: list[Way], settings: Settings) -> Iterator[Point]:
    inputs = inputs_folder(settings.work)
    for number in range(settings.rounds + 1):  # the first warms up
        for connections in settings.connections:
            for way in ways:
                load = ClosedLoad(connections, settings.seconds)
                point = run_wrk(way.target, way.workload, inputs, load, way.body)
                if number:
                    point = replace(point, server=way.name, workload="W8", round=number)
                    print_progress(f"{way.name} at {connections}: {point.rate:,.0f}/s")
                    yield point


def _is_met(rows: list[dict[str, Any]]) -> bool:
    rates = {row["server"]: row["rate"] for row in rows if row["connections"] == JUDGED}
    return not rates or rates["servd"] >= WANTED * rates["fastapi, UploadFile"]


def as_lines(results: dict[str, Any]) -> Iterator[str]:
    """Yield a table of the figures in Markdown."""
    yield "| conn | server | answers/s | p50 ms | p99 ms | µs CPU | faults |"
    yield "|---|---|---|---|---|---|---|"
    for row in results["rows"]:
        figures = f"{row['rate']:,.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | "
        figures += f"{row['cpu_us']:,.0f} | {row['faults']}"
        yield f"| {row['connections']} | {row['server']} | {figures} |"

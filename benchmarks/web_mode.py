"""`python -m benchmarks web`: web applications through servd and under uvicorn alone, in rounds.

Each round asks both, one after the other, so that what is compared had the same machine.
"""

import re
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.daemon import Daemon
from benchmarks.environment import need
from benchmarks.machine import describe_machine
from benchmarks.processes import cpu_s
from benchmarks.report import print_progress
from benchmarks.servers import ServerError, free_port
from benchmarks.settings import ROOT, Settings

ADDED_MS: Final = 0.3
"""What the proxy may add at one connection."""
KEPT: Final = 0.75
"""The share of uvicorn's own throughput that is left at 32 connections."""
_START_S: Final = 30.0
_APPS: Final = {"bare": "/", "app": "/predict?feature_1=1&feature_2=1&feature_3=1"}
_UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Way:
    """How an application is asked: by which URL, and which processes pass on."""

    app: str
    server: str
    url: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What one point came to."""

    rate: float
    p50_ms: float
    cpu_us: float


def run_web_mode(settings: Settings) -> dict[str, Any]:
    """Return the figures, and whether they are as promised."""
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(settings))
        ways = []
        for name, path in _APPS.items():
            target = f"benchmarks/models/web.py:{name}"
            daemon.servd("deploy", target, "--name", name)
            port, pid = stack.enter_context(_alone(name))
            ways.append(Way(name, "uvicorn", f"http://127.0.0.1:{port}{path}", (pid,)))
            url = f"http://127.0.0.1:{daemon.port}/{name}{path}"
            ways.append(Way(name, "servd", url, (daemon.pid,)))
        found = _points(ways, settings)
    rows = [
        {
            "app": app,
            "connections": connections,
            "server": server,
            "rate": median(each.rate for each in points),
            "p50_ms": median(each.p50_ms for each in points),
            "cpu_us": median(each.cpu_us for each in points),
        }
        for (app, connections, server), points in found.items()
    ]
    return {"machine": describe_machine(settings), "rows": rows, "ratios": [*_ratios(rows)]}


@contextmanager
def _alone(name: str) -> Iterator[tuple[int, int]]:
    """Run an application under uvicorn; yield its port and process."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.baselines.web_alone", name, str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            _await(f"http://127.0.0.1:{port}{_APPS[name]}", process)
            yield port, process.pid
        finally:
            process.terminate()


def _await(url: str, process: "subprocess.Popen[bytes]") -> None:
    limit_s = time.monotonic() + _START_S
    while time.monotonic() < limit_s and process.poll() is None:
        try:
            urllib.request.urlopen(url).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise ServerError(f"uvicorn does not answer at {url}")


def _points(ways: list[Way], settings: Settings) -> dict[tuple[str, int, str], list[Found]]:
    found: dict[tuple[str, int, str], list[Found]] = defaultdict(list)
    for number in range(settings.rounds + 1):  # the first warms up
        for connections in settings.connections:
            for way in ways:
                point = _ask(way, connections, settings.seconds)
                if number:
                    what = f"{way.app} by {way.server} at {connections}"
                    print_progress(f"{what}: {point.rate:,.0f}/s, {point.p50_ms:.3f} ms")
                    found[way.app, connections, way.server].append(point)
    return found


def _ask(way: Way, connections: int, seconds: float) -> Found:
    command = [need("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    before_s = cpu_s(way.pids)
    done = subprocess.run(
        [*command, "--latency", way.url], capture_output=True, text=True, check=True
    )
    used_s = cpu_s(way.pids) - before_s
    text = done.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise ServerError(f"{way.url}: {text}")
    value, unit = _named(text, r"50%\s+([\d.]+)(us|ms|s)")
    count, elapsed = _named(text, r"(\d+) requests in ([\d.]+)s")
    return Found(
        rate=float(count) / float(elapsed),
        p50_ms=float(value) * _UNITS[unit],
        cpu_us=used_s / max(1, int(count)) * 1e6,
    )


def _named(text: str, pattern: str) -> tuple[str, str]:
    match = re.search(pattern, text)
    if match is None:
        raise ServerError(f"wrk did not say {pattern}: {text}")
    return match[1], match[2]


def _ratios(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what is promised of each application, what it is, and whether that is kept."""
    by_place = {(row["app"], row["connections"], row["server"]): row for row in rows}
    for app, connections in sorted({(row["app"], row["connections"]) for row in rows}):
        alone = by_place[app, connections, "uvicorn"]
        passed = by_place[app, connections, "servd"]
        added_ms, kept = passed["p50_ms"] - alone["p50_ms"], passed["rate"] / alone["rate"]
        if connections == 1:
            yield {
                "what": f"{app}: ms added at 1 connection, at most {ADDED_MS}",
                "value": added_ms,
                "is_met": added_ms <= ADDED_MS,
            }
        else:
            is_judged = connections == 32
            yield {
                "what": f"{app}: share of uvicorn's rate at {connections}"
                + (f", at least {KEPT}" if is_judged else ""),
                "value": kept,
                "is_met": kept >= KEPT or not is_judged,
            }


def as_lines(results: dict[str, Any]) -> Iterator[str]:
    """Yield tables of the figures in Markdown."""
    yield "| application | conn | server | answers/s | p50 ms | µs CPU of who listens |"
    yield "|---|---|---|---|---|---|"
    for row in results["rows"]:
        figures = f"{row['rate']:,.0f} | {row['p50_ms']:.3f} | {row['cpu_us']:.0f}"
        yield f"| {row['app']} | {row['connections']} | {row['server']} | {figures} |"
    yield ""
    for ratio in results["ratios"]:
        yield f"- {ratio['what']}: {ratio['value']:.3f}{'' if ratio['is_met'] else ' (MISSED)'}"

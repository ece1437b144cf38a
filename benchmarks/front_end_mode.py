"""`python -m benchmarks frontend`: W1 through `servd frontend` beside the daemon's own front end.

A front end on TLS streams and one on ZeroMQ, each with the keys of an export; a daemon on ZeroMQ
and one on its unix stream. What a query costs in processor time is cluster_mode.py's.
"""

import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.check import CHECK_SLO_MS, check_answers
from benchmarks.closed_loop import closed_rounds, warm_up
from benchmarks.daemon import Daemon
from benchmarks.report import markdown, print_progress, write_json
from benchmarks.servers import Server, ServerError, free_port
from benchmarks.settings import ROOT, Settings
from benchmarks.workloads import WORKLOADS
from benchmarks.wrk import Target
from servd.carriers.certificates import write_certificates
from servd.carriers.curve import write_keys
from servd.datatypes import Application, InputType, ModelVersion, RegistryState, VersionId
from servd.registry.published import FILE_NAME, Published, VersionAddress, encode
from servd.registry.snapshot import pack_state

READY_TIMEOUT_S = 30.0
Scheme = Literal["tcp", "tls"]
_CARRIERS: dict[Scheme, str] = {"tcp": "ZeroMQ", "tls": "TLS"}


def run_front_end_mode(settings: Settings) -> str:
    """Return rates and ratios as Markdown; the figures are kept as JSON."""
    workload = WORKLOADS["W1"]
    with ExitStack() as stack:
        stream = stack.enter_context(Daemon(replace(settings, carrier="unix")))
        daemon = stack.enter_context(Daemon(replace(settings, carrier="zmq")))
        stream.name, daemon.name = "daemon, stream", "daemon, ZeroMQ"
        for each in (stream, daemon):
            each.deploy(workload, slo_ms=CHECK_SLO_MS)
        bundle = next((daemon.data_dir / "bundles").glob("*/model.json")).parent
        front_end = stack.enter_context(front_end_on(bundle, "tls", settings))
        on_zmq = stack.enter_context(front_end_on(bundle, "tcp", settings))
        targets: list[Target] = [front_end, on_zmq, daemon, stream]
        for target in targets:
            check_answers(target, workload, settings)
        warm_up(targets, workload, settings)
        points = list(closed_rounds(targets, workload, settings))
    rows = [["conn", *(f"{target.name} /s" for target in targets), "TLS beside ZeroMQ"]]
    figures: dict[str, Any] = {}
    for connections in settings.connections:
        rates = {
            target.name: [
                p.rate for p in points if (p.server, p.connections) == (target.name, connections)
            ]
            for target in targets
        }
        # Round by round: what disturbs the machine disturbs both of a pair.
        pairs = zip(rates[front_end.name], rates[on_zmq.name], strict=True)
        ratio = statistics.median(mine / other for mine, other in pairs)
        medians = [statistics.median(rates[target.name]) for target in targets]
        figures[str(connections)] = {"medians": medians, "ratio": ratio}
        rows.append([str(connections), *(f"{rate:,.0f}" for rate in medians), f"{ratio:.2f}x"])
        print_progress(" ".join(rows[-1]))
    write_json(settings.out / "frontend.json", figures)
    return markdown(rows)


@contextmanager
def front_end_on(bundle: Path, scheme: Scheme, settings: Settings) -> Iterator[Server]:
    """Yield `servd frontend` over a replica of its own, which listens there with keys."""
    folder = settings.out / f"frontend-{scheme}"
    folder.mkdir(exist_ok=True)
    port, replica_port = free_port(), free_port()
    keys = write(folder, published(replica_port, scheme), scheme)
    replica = replica_command(bundle, f"{scheme}://127.0.0.1:{replica_port}", keys)
    front_end = [
        *(sys.executable, "-m", "servd", "frontend", "--registry", str(folder), keys),
        *("--bind", "127.0.0.1", "--port", str(port), "--cache-size", "0"),
    ]
    log = folder / "log"
    with (
        subprocess.Popen(replica, cwd=ROOT, stdout=subprocess.DEVNULL) as process,
        Server(f"front end, {_CARRIERS[scheme]}", front_end, port, log=log) as server,
    ):
        try:
            wait_until_ready(port)
            yield server
        finally:
            process.kill()


def write(folder: Path, registry: bytes, scheme: Scheme) -> str:
    """Write a registry and new keys; return the argument that both ends need for these."""
    (folder / FILE_NAME).write_bytes(registry)
    keys = folder / "keys"
    shutil.rmtree(keys, ignore_errors=True)
    if scheme == "tls":
        write_certificates(keys)
        return f"--tls={keys}"
    write_keys(keys)
    return f"--curve={keys}"


def replica_command(bundle: Path, listen: str, keys: str) -> list[str]:
    """Return the command line of a replica."""
    return [
        *(sys.executable, "-m", "model_runtime", f"--bundle={bundle}", "--model=m"),
        *("--version=1", f"--listen={listen}", keys),
    ]


def published(port: int, scheme: Scheme) -> bytes:
    """Return the registry of one application on the model at a port of loopback."""
    name = WORKLOADS["W1"].name
    state = RegistryState(
        {
            name: Application(
                name=name,
                input_type=InputType.DOUBLES,
                slo_us=CHECK_SLO_MS * 1000,
                default_output="-1",
            )
        },
        {VersionId("m", "1"): ModelVersion(model="m", version="1", input_type=InputType.DOUBLES)},
        {"m": "1"},
        {name: ("m",)},
    )
    return encode(Published(pack_state(state), {"m:1": VersionAddress("127.0.0.1", port, scheme)}))


def wait_until_ready(port: int) -> None:
    """Return once the front end can answer every application.

    Raises:
        ServerError: it could not in time.
    """
    limit = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < limit:
        with suppress(urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
            return
        time.sleep(0.1)
    raise ServerError("the front end found no replica; see its log")

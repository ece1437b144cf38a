"""Other model servers, measured beside servd where the baselines' environment has them.

None is installed by default: `pip install litserve` in that environment brings one in.
"""

import subprocess

from benchmarks.environment import inputs_folder
from benchmarks.servers import Server, free_port
from benchmarks.settings import Settings
from benchmarks.workloads import Workload

PEERS = {"litserve": "litserve", "ray serve": "ray"}
"""Name and the module that must be importable; each has baselines/peer_MODULE.py."""


def peers(workload: Workload, settings: Settings) -> list[Server]:
    """Return a server for each peer that is installed."""
    if workload.is_table:
        return []
    return [
        peer(name, module, workload, settings)
        for name, module in PEERS.items()
        if is_installed(module, settings)
    ]


def is_installed(module: str, settings: Settings) -> bool:
    """Return whether the baselines' environment has the module."""
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return subprocess.run([settings.python, "-c", code], check=False).returncode == 0


def peer(name: str, module: str, workload: Workload, settings: Settings) -> Server:
    """Return one peer as a server."""
    port = free_port()
    script = f"benchmarks.baselines.peer_{module}"
    env = {
        "BENCH_NAME": workload.name,
        "BENCH_TARGET": workload.target_path(inputs_folder(settings.work)),
    }
    command = [str(settings.python), "-m", script, str(port)]
    return Server(name, command, port, env, settings.out / f"{script}.log")

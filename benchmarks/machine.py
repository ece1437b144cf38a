"""What the figures were measured on: cores, versions. Never the machine's name."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.environment import find_nginx
from benchmarks.settings import Settings

PACKAGES = ("servd", "uvloop", "httptools", "pyzmq", "msgspec", "numpy", "scikit-learn")
BASELINES = ("fastapi", "uvicorn")


def describe_machine(settings: Settings) -> dict[str, Any]:
    """Return what a reader needs to judge the figures."""
    return {
        "processor": processor(),
        "carrier": settings.carried,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "baselines": baseline_versions(settings),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
    }


def processor() -> str:
    """Return the processor's kind as the kernel knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def version(name: str) -> str:
    """Return the version of a package of this environment."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def baseline_versions(settings: Settings) -> dict[str, str]:
    """Return the versions of what servd is compared with."""
    code = f"import importlib.metadata as m; print(*[m.version(n) for n in {BASELINES}])"
    done = subprocess.run([settings.python, "-c", code], capture_output=True, text=True, check=True)
    versions = dict(zip(BASELINES, done.stdout.split(), strict=True))
    nginx = find_nginx()
    if nginx:
        said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
        versions["nginx"] = said.strip().rpartition("/")[2]
    return versions

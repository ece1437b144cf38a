"""Make what the benchmarks stand on: the baselines' environment, the models, the load generator.

Called by __main__.py before every command. Everything is kept in the work folder and made once.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from benchmarks.settings import ROOT
from benchmarks.workloads import HERE, Workload

NGINX_PLACES = ("/usr/sbin/nginx", "/usr/local/sbin/nginx")


class MissingToolError(Exception):
    """Something has to be installed first."""


def need(tool: str, package: str) -> str:
    """Return the path of a program.

    Raises:
        MissingToolError: it is not installed.
    """
    found = shutil.which(tool)
    if found is None:
        raise MissingToolError(f"{tool} is not installed: apt install {package}")
    return found


def find_nginx() -> str | None:
    """Return nginx's path, or None: that baseline is then left out."""
    return shutil.which("nginx") or next((p for p in NGINX_PLACES if os.access(p, os.X_OK)), None)


def make_environment(work: Path, python: Path | None) -> Path:
    """Return the interpreter of the baselines' environment, which is made where it is missing.

    It lies over the environment of servd: what both have is servd's, and is there already.
    """
    if python is not None:
        return python
    folder = work / "venv"
    below = sysconfig.get_path("purelib")
    wanted = f"{below}\n{installed()}{(HERE / 'requirements.txt').read_text()}"
    stamp = folder / "complete"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making the baselines' environment in {folder} (once)", flush=True)
        venv.create(folder, clear=True)
        scheme = sysconfig.get_preferred_scheme("prefix")
        own = sysconfig.get_path("purelib", scheme, {"base": str(folder)})
        # What lies there is found, but its .pth files are not read: servd itself is not there.
        Path(own, "servd-environment.pth").write_text(f"{below}\n")
        limits = work / "constraints.txt"
        limits.write_text(constraints())
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "-q"]
        # What is imported is compiled then; most of it never is.
        pip += ["--no-compile", "-c", str(limits), "-r", str(HERE / "requirements.txt")]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    return folder / "bin/python"


def installed() -> str:
    """Return what servd's environment has, with versions."""
    return "".join(sorted(f"{each.name}=={each.version}\n" for each in metadata.distributions()))


def constraints() -> str:
    """Return pins of what servd's environment has too: both sides run the same versions."""
    pins = []
    for name in (HERE / "requirements.txt").read_text().splitlines():
        try:
            pins.append(f"{name}=={metadata.version(name)}\n")
        except metadata.PackageNotFoundError:
            continue
    return "".join(pins)


def make_inputs(work: Path, python: Path) -> None:
    """Train the models and write the inputs, unless both are there and of this source."""
    sources = ("prepare.py", "workloads.py", "models/train.py", "models/func.py", "models/noop.py")
    digest = hashlib.sha256()
    for source in sources:
        digest.update((HERE / source).read_bytes())
    digest.update(constraints().encode())
    folder = inputs_folder(work)
    stamp = folder / "complete"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    print("training the models and writing the inputs (once)", flush=True)
    run_in_environment(python, "benchmarks.prepare", str(folder))
    stamp.write_text(digest.hexdigest())


def inputs_folder(work: Path) -> Path:
    """Return the folder of trained models, bodies and right outputs."""
    return work / "inputs"


def run_in_environment(python: Path, module: str, *arguments: str) -> None:
    """Run a module of the benchmarks by the baselines' interpreter."""
    subprocess.run([python, "-m", module, *arguments], cwd=ROOT, check=True)


def make_generator(work: Path) -> Path:
    """Return the load generator's program, compiled where its source is newer."""
    source, program = HERE / "loadgen.c", work / "loadgen"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        compiler = need("gcc", "gcc libc6-dev")
        subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


def can_serve(workload: Workload) -> bool:
    """Return whether the environment servd runs in has what the workload's model needs."""
    if not workload.is_trained:
        return True
    code = "import pandas, sklearn" if workload.is_table else "import sklearn"
    return (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        == 0
    )

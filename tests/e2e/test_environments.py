"""Environments of models with a daemon that builds them: shared, listed, removed, rebuilt."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from model_runtime.bundle import LOCK_NAME
from model_runtime.manifest import Manifest, write
from servd.client import deployment
from servd.client.admin import AdminClient, find_daemon
from servd.config import load_config
from servd.environments.lock import Lock, compose
from servd.packing.archive import Packed
from tests.daemon import Daemon
from tests.e2e.steps import admin, until
from tests.environments import make, offline
from tests.wheels import write_wheel

KILLS = 12
MODEL = """
import alpha

def version(xs):
    return [alpha.VERSION for _ in xs]
"""


@pytest.fixture(autouse=True)
def _caches_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the caches and the settings of who runs the tests alone."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache-of-pip"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def _client(daemon: Daemon) -> AdminClient:
    config = load_config({}, daemon.env, daemon.data_dir.parent)
    return find_daemon(config, None, 120.0)


def _bundle(folder: Path, lock: Lock, note: str = "") -> Path:
    """Write a bundle of a function that answers with the version of `alpha`."""
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "m.py").write_text(f"{MODEL}# {note}\n")
    said = {"python": lock.python, "lock": LOCK_NAME}
    manifest = Manifest(
        loader="python",
        file="m.py",
        kind="function",
        object="version",
        input_type="doubles",
        environment=said,
    )
    write(manifest, folder)
    (folder / LOCK_NAME).write_text(lock.text)
    return folder


def _deploy(daemon: Daemon, folder: Path, name: str) -> list[dict[str, Any]]:
    """Deploy a bundle; return what was told."""
    client = _client(daemon)
    digest = deployment.upload(client, Packed.of_folder(folder))
    request = {"model": name, "app": name, "bundle": digest, "slo_us": 5_000_000}
    return list(client.events("/deployments", request))


def _locks(folder: Path, *requirements: str) -> list[Lock]:
    """Return locks of packages in wheels that are made in a folder."""
    wheels = folder / "wheels"
    for version in ("1.0", "2.0"):
        write_wheel(wheels, "alpha", version)
    write_wheel(wheels, "beta", "1.0", needs=["alpha<2"])
    store = make(folder, "uv")
    return [store.lock(offline(wheels, each)) for each in requirements]


def _ask(daemon: Daemon, name: str) -> Any:
    done = daemon.cli("predict", name, "[1.0]")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["output"]


def _listed(daemon: Daemon) -> list[dict[str, Any]]:
    done = daemon.cli("env", "ls", "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def _messages(events: list[dict[str, Any]]) -> list[str]:
    return [each["message"] for each in events if each["event"] == "environment"]


def test_versions_run_in_environments_that_are_built_once_and_shared(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Progress is told to who deploys; another model with the same lock gets the same at once."""
    old, new = _locks(tmp_path, "alpha<2", "alpha")
    first = _deploy(daemon, _bundle(tmp_path / "a", old), "a")
    assert first[-1]["event"] == "live"
    assert any(each.startswith("building an environment of 1 package") for each in _messages(first))
    assert _messages(_deploy(daemon, _bundle(tmp_path / "b", old, "b"), "b")) == []
    assert _messages(_deploy(daemon, _bundle(tmp_path / "c", new), "c")) != []
    assert [_ask(daemon, name) for name in "abc"] == [1.0, 1.0, 2.0]
    listed = _listed(daemon)
    assert sorted(each["used_by"] for each in listed) == [["a:1", "b:1"], ["c:1"]]
    assert all(each["size_bytes"] > 1000 and each["state"] == "ready" for each in listed)
    table = daemon.cli("env", "ls").stdout
    assert "a:1, b:1" in table
    assert "2 environments" in table
    shown = daemon.cli("env", "show", listed[0]["key"][:6]).stdout
    assert "alpha" in shown
    assert Path(listed[0]["log"]).read_text().startswith("$ ")


def test_what_is_used_is_not_removed_and_what_is_not_used_is(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Prune and rm leave what a version uses, with a daemon and from its data directory."""
    old, new = _locks(tmp_path, "alpha<2", "alpha")
    _deploy(daemon, _bundle(tmp_path / "a", old), "a")
    _deploy(daemon, _bundle(tmp_path / "c", new), "c")
    keys = {each["used_by"][0]: each["key"] for each in _listed(daemon)}
    refused = daemon.cli("env", "rm", keys["a:1"])
    assert refused.returncode == 1
    assert "is used by a:1" in refused.stderr
    assert "nothing to remove" in daemon.cli("env", "prune").stdout
    daemon.cli("rm", "c")
    assert keys["c:1"] in daemon.cli("env", "prune").stdout
    assert [each["key"] for each in _listed(daemon)] == [keys["a:1"]]
    daemon.cli("stop")
    assert [each["used_by"] for each in _listed(daemon)] == [["a:1"]]
    assert "nothing to remove" in daemon.cli("env", "prune").stdout
    assert daemon.cli("env", "rm", keys["a:1"]).returncode == 1
    assert daemon.cli("env", "rm", keys["a:1"], "--force").returncode == 0
    assert _listed(daemon) == []
    assert daemon.cli("env", "show", "ffff").returncode == 4


def test_one_that_was_deleted_is_built_anew_at_the_next_launch_and_said(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Running replicas go on; a replica that is launched, and a start, build it from the lock."""
    [lock] = _locks(tmp_path, "alpha")
    _deploy(daemon, _bundle(tmp_path / "a", lock), "a")
    key = _listed(daemon)[0]["key"]
    assert daemon.cli("env", "rm", key, "--force").returncode == 0
    assert _ask(daemon, "a") == 2.0
    assert daemon.cli("scale", "a", "2").returncode == 0
    assert [each["key"] for each in _listed(daemon)] == [key]
    daemon.cli("stop")
    shutil.rmtree(daemon.data_dir / "environments")
    daemon.start()
    until(lambda: daemon.cli("predict", "a", "[1.0]").returncode == 0, "an answer", 30.0)
    assert _ask(daemon, "a") == 2.0
    log = (daemon.data_dir / "logs" / "daemon.log").read_text()
    assert log.count("the environment of a:1 is not there: it is built") >= 3


def test_a_failed_build_fails_that_version_only(daemon: Daemon, tmp_path: Path) -> None:
    """The error has the builder's own words; the version before stays, and no environment."""
    [good] = _locks(tmp_path, "alpha")
    bad = compose(["nosuchthing==1.0"], good.python, options=["--no-index"], wheels={})
    _deploy(daemon, _bundle(tmp_path / "a", good), "a")
    events = _deploy(daemon, _bundle(tmp_path / "bad", bad), "a")
    assert events[-1]["event"] == "error"
    assert "nosuchthing" in events[-1]["error"]["message"]
    assert events[-1]["error"]["code"] == "environment_failed"
    assert _ask(daemon, "a") == 2.0
    assert len(_listed(daemon)) == 1


def test_20_deployments_at_once_with_3_locks_build_3_environments(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Each is built by one of them, whoever else wants it waits."""
    locks = _locks(tmp_path, "alpha<2", "alpha", "beta")
    bundles = [_bundle(tmp_path / f"m{n}", locks[n % 3], str(n)) for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda n: _deploy(daemon, bundles[n], f"m{n}"), range(20)))
    assert [events[-1]["event"] for events in told] == ["live"] * 20
    built = [text for events in told for text in _messages(events)]
    assert sum(each.startswith("building an environment") for each in built) == 3
    listed = _listed(daemon)
    assert sorted(len(each["used_by"]) for each in listed) == [6, 7, 7]


@pytest.mark.slow
def test_kills_of_the_daemon_at_random_moments_of_a_build_leave_nothing(
    daemon: Daemon, tmp_path: Path
) -> None:
    """No builder outlives it, and the next start neither trusts nor keeps a half one."""
    wheels = tmp_path / "wheels"
    names = [f"part{number}" for number in range(60)]
    for name in names:
        files = {f"{name}_{each}/__init__.py": "x = 1\n" * 50 for each in range(40)}
        write_wheel(wheels, name, "1.0", files=files)
    write_wheel(wheels, "alpha", "1.0", needs=names)
    lock = make(tmp_path, "uv").lock(offline(wheels, "alpha"))
    bundle = _bundle(tmp_path / "bundle", lock)
    rng = random.Random(20261126)
    begun_s = time.monotonic()
    _deploy(daemon, bundle, "whole")
    longest_s = time.monotonic() - begun_s
    daemon.cli("rm", "whole")
    daemon.cli("env", "prune")
    outcomes = {"half": 0, "whole": 0}
    for number in range(KILLS):
        deployer = subprocess.Popen(
            [sys.executable, "-c", _DEPLOYER, str(bundle), f"m{number}"],
            env=daemon.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        pid = daemon.pid
        assert pid is not None
        time.sleep(0.3 + rng.uniform(0, longest_s))  # which moment it is, is what is tried
        os.kill(pid, signal.SIGKILL)
        deployer.wait(60)
        until(lambda: not _builders(tmp_path), "builders to end")
        built = daemon.data_dir / "environments" / "built"
        halves = [each for each in built.glob("*") if not (each / "environment.json").exists()]
        outcomes["half"] += any(each.name != "flocks" for each in halves)
        daemon.start()
        for found in built.glob("*"):
            is_whole = len(list(found.glob("lib/python*/site-packages/*.dist-info"))) == 61
            assert found.name == "flocks" or is_whole
        scratch = daemon.data_dir / "environments" / "tools" / "scratch"
        assert not [each for each in scratch.glob("*") if each.name.split(".")[0] == str(pid)]
        outcomes["whole"] += bool(admin(daemon, "GET", "/api/v1/environments")[1])
        for model in admin(daemon, "GET", "/api/v1/models")[1]:
            name = model["name"]
            admin(daemon, "DELETE", f"/api/v1/models/{name}?force=true")
            admin(daemon, "DELETE", f"/api/v1/applications/{name}")
        admin(daemon, "POST", "/api/v1/environments/prune")
    assert outcomes["half"] >= KILLS // 6
    assert _deploy(daemon, bundle, "after")[-1]["event"] == "live"


_DEPLOYER = """
import os, sys
from pathlib import Path
from servd.client import deployment
from servd.client.admin import find_daemon
from servd.config import load_config
from servd.packing.archive import Packed

client = find_daemon(load_config({}, os.environ, Path("/")), None, 120.0)
digest = deployment.upload(client, Packed.of_folder(Path(sys.argv[1])))
request = {"model": sys.argv[2], "app": sys.argv[2], "bundle": digest, "slo_us": 5000000}
list(client.events("/deployments", request))
"""


def _builders(folder: Path) -> list[psutil.Process]:
    """Return the processes that build below a folder."""
    found = []
    for each in psutil.process_iter(["cmdline"]):
        words = " ".join(each.info["cmdline"] or [])
        if f"{folder}/" in words and ("keeper.py" in words or "pip install" in words):
            found.append(each)
    return found

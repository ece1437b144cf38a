"""A daemon whose registry was lost, damaged or taken away: it keeps what it can, and says so."""

import json
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

MODEL = "def f(xs):\n    return [{value} for _ in xs]\n"
WAIT_S = 30.0


def digests(daemon):
    """Return the bundles that are kept."""
    return sorted(path.name for path in (daemon.data_dir / "bundles").iterdir())


def trashed(daemon):
    """Return the bundles in the trash."""
    return sorted(path.name for path in (daemon.data_dir / "trash").glob("*"))


def deploy(daemon, value, *flags, name="f"):
    """Deploy a model that answers a value."""
    model = daemon.data_dir.parent / f"{name}{value}.py"
    model.write_text(MODEL.format(value=value))
    return daemon.cli("deploy", f"{model}:f", "--name", name, "--slo", "5s", *flags)


def answer(daemon, name="f"):
    """Return what an application answers, once its model is up."""
    end_s = time.monotonic() + WAIT_S
    while True:
        _, found = daemon.query(f"/{name}/predict", {"input": [1.0]})
        if not found.get("default", True) or time.monotonic() > end_s:
            return found["output"]
        time.sleep(0.05)


def kill(daemon):
    """End the daemon as a power cut would."""
    process = psutil.Process(daemon.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=WAIT_S)


def test_a_database_that_is_gone_costs_no_bundle(daemon):
    """The start refuses with figures; with the good database back, the model answers."""
    assert deploy(daemon, 1).returncode == 0
    daemon.stop()
    kept = digests(daemon)
    database = daemon.data_dir / "servd.db"
    good = database.read_bytes()
    for content in (None, b"", b"x"):
        database.unlink()
        if content is not None:
            database.write_bytes(content)
        for verb in ("start", "run"):
            done = daemon.cli(verb)
            assert done.returncode == 1
            assert "it had taken 1 change, 0 are found" in done.stderr
            assert "servd start --force" in done.stderr
        assert digests(daemon) == kept
        database.write_bytes(good)
    daemon.start()
    assert answer(daemon) == 1
    assert digests(daemon) == kept


def test_a_forced_start_keeps_the_bundles_for_a_day(daemon):
    """They outlive the start itself; the next one throws them away; the good database wins."""
    deploy(daemon, 1)
    daemon.stop()
    kept = digests(daemon)
    database = daemon.data_dir / "servd.db"
    good = database.read_bytes()
    database.unlink()
    done = daemon.cli("start", "--force")
    assert done.returncode == 0, done.stderr
    assert json.loads(daemon.cli("app", "ls", "--json").stdout) == []
    assert digests(daemon) == kept
    daemon.stop()
    daemon.start()
    assert digests(daemon) == []
    assert trashed(daemon) == kept
    daemon.stop()
    database.write_bytes(good)
    assert daemon.cli("start").returncode == 1
    assert daemon.cli("start", "--force").returncode == 0
    assert answer(daemon) == 1


def test_a_broken_log_loses_nothing_unsaid(daemon):
    """After a kill all changes are in SQLite's log: the start says how many it misses."""
    deploy(daemon, 1)
    for number in range(5):
        assert daemon.cli("app", "create", f"a{number}").returncode == 0
    kill(daemon)
    wal = daemon.data_dir / "servd.db-wal"
    good = wal.read_bytes()
    wal.write_bytes(b"X" * 16 + good[16:])
    done = daemon.cli("start")
    assert done.returncode == 1
    assert "it had taken 6 changes, 0 are found" in done.stderr
    done = daemon.cli("build", "f", "--context-only", str(daemon.data_dir.parent / "context"))
    assert done.returncode == 1
    assert "it had taken 6 changes, 0 are found" in done.stderr
    wal.write_bytes(good)
    daemon.start()
    assert len(json.loads(daemon.cli("app", "ls", "--json").stdout)) == 6


def test_a_bundle_that_is_missing_is_named(daemon):
    """As after a backup of the database alone."""
    daemon.expected_errors.append("is missing: servd deploy brings it again")
    deploy(daemon, 1)
    daemon.stop()
    (digest,) = digests(daemon)
    shutil.rmtree(daemon.data_dir / "bundles" / digest)
    daemon.start()
    log = (daemon.data_dir / "logs" / "daemon.log").read_text()
    assert f"the bundle {digest} of f:1 is missing" in log


def test_a_failed_deployment_leaves_no_bundle(daemon):
    """Nor does a refused one; what it sent is in the trash and comes back for the next try."""
    deploy(daemon, 1)
    kept = digests(daemon)
    bad = daemon.data_dir.parent / "bad.py"
    bad.write_text("def f(xs):\n    raise ValueError('no')\n")
    done = daemon.cli("deploy", f"{bad}:f", "--name", "bad", "--example", "[1.0]")
    if done.returncode == 0:
        pytest.skip("a model that raises goes live")
    assert digests(daemon) == kept
    assert len(trashed(daemon)) == 1


def test_changes_are_refused_while_the_data_directory_is_away(daemon):
    """Nothing is acknowledged that would be lost; queries go on; put back, changes do too."""
    deploy(daemon, 1)
    away = Path(f"{daemon.data_dir}.away")
    daemon.data_dir.rename(away)
    daemon.data_dir, here = away, daemon.data_dir
    for words in (("app", "create", "lost"), ("scale", "f", "2"), ("model", "rm", "f", "--force")):
        done = daemon.cli(*words, "--admin", daemon.admin_url)
        assert done.returncode == 1, words
        assert "was removed or replaced while the daemon runs" in done.stderr
    assert deploy(daemon, 2, "--admin", daemon.admin_url).returncode == 1
    assert not here.exists()
    assert answer(daemon) == 1
    away.rename(here)
    daemon.data_dir = here
    assert daemon.cli("app", "create", "kept").returncode == 0
    assert (here / "registry.json").exists()

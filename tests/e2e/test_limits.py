"""What a version's replicas may use, compute on and know: by real processes, through the CLI."""

import json
import os
import re
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.daemon import Daemon
from tests.e2e.steps import admin, ready, replicas, running_daemon, until, write_model

SECRET = "hunter2-0f1e2d3c4b5a"
OTHER = "correct-horse-battery-9e8d"

HUNGRY = """
import ctypes

def hungry(inputs):
    for first, *_ in inputs:
        if first == -1:
            bytearray(400_000_000)
        if first == -2:  # as native code does that is refused memory
            ctypes.CDLL("libstdc++.so.6")._ZSt17__throw_bad_allocv()
    return [float(sum(x)) for x in inputs]
"""
LOADS_MUCH = """
HOARD = bytearray(400_000_000)

def greedy(inputs):
    return [0 for _ in inputs]
"""
BUSY = """
import hashlib
import threading
import time

BLOCK = bytes(1 << 22)

def busy(inputs):
    def spin():
        while time.monotonic() < end:
            hashlib.sha256(BLOCK)  # without the interpreter's lock

    seconds = inputs[0][0]
    end = time.monotonic() + seconds
    began, wall = time.process_time(), time.monotonic()
    threads = [threading.Thread(target=spin) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return [(time.process_time() - began) / (time.monotonic() - wall) for _ in inputs]
"""
KNOWS = """
import os

def knows(inputs):
    return [{name: os.environ.get(name)} for name in inputs]
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here, each of which uses names of its own."""
    with running_daemon() as running:
        yield running


def _deploy(daemon: Daemon, text: str, name: str, *flags: str) -> dict[str, Any]:
    path = write_model(daemon, f"{name}.py", text)
    done = daemon.cli("--json", "deploy", f"{path}:{name}", *flags)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _refused(daemon: Daemon, *flags: str) -> str:
    path = write_model(daemon, "plain.py", "def plain(inputs):\n    return [0 for _ in inputs]\n")
    done = daemon.cli("deploy", f"{path}:plain", *flags)
    assert done.returncode != 0
    return done.stderr


def _asked(daemon: Daemon, app: str, *names: str) -> dict[str, str | None]:
    """Return variables of a replica's environment, by the model that tells them."""
    status, answer = daemon.query(f"/{app}/predict", {"input": names[0]})
    assert status == 200
    found = dict(answer["output"])
    for name in names[1:]:
        found |= daemon.query(f"/{app}/predict", {"input": name})[1]["output"]
    return found


def test_a_model_that_asks_for_more_memory_than_its_limit_fails_that_query_alone(daemon: Daemon):
    """It is told MemoryError, which is a 500 of that query; the replica lives."""
    said = _deploy(daemon, HUNGRY, "hungry", "--memory", "150m", "--input-type", "doubles")
    (replica,) = said["replicas"]
    assert replica["limits"][0].startswith("memory 150 MiB")
    pid = replica["pid"]
    assert daemon.query("/hungry/predict", {"input": [2.0]})[1]["output"] == 2.0
    status, answer = daemon.query("/hungry/predict", {"input": [-1.0]})
    assert (status, "MemoryError" in json.dumps(answer)) == (500, True)
    assert daemon.query("/hungry/predict", {"input": [3.0]})[1]["output"] == 3.0
    assert [row["pid"] for row in replicas(daemon, "hungry")] == [pid]


def test_a_replica_that_its_limit_has_ended_says_so(daemon: Daemon):
    """As one in a container does: that it was the memory, how much it has, by which flag."""
    text = HUNGRY.replace("hungry", "ended")
    _deploy(daemon, text, "ended", "--memory", "150m", "--input-type", "doubles", "--slo", "10s")
    status, answer = daemon.query("/ended/predict", {"input": [-2.0]})
    assert status == 500
    said = "out of memory: its limit is 150 MiB (--memory)"
    assert said in json.dumps(answer)
    errors = [row["last_error"] for row in until(lambda: ready(daemon, "ended"), "its return")]
    assert said in errors[0]
    assert said in daemon.cli("ps").stdout


def test_a_model_that_does_not_fit_is_refused_by_its_limit_s_name(daemon: Daemon):
    """At its deployment, with what it was given and what to do; it is not tried for ever."""
    path = write_model(daemon, "greedy.py", LOADS_MUCH)
    done = daemon.cli("deploy", f"{path}:greedy", "--memory", "150m")
    assert done.returncode == 1
    assert "out of memory: its limit is 150 MiB (--memory)" in done.stderr
    assert "HOARD = bytearray" in done.stderr
    assert not replicas(daemon, "greedy")


def test_threads_that_spin_get_the_processors_of_their_limit(daemon: Daemon):
    """Four of them have one processor's time with --cpus 1, and numeric libraries one thread."""
    flags = ("--cpus", "1", "--input-type", "doubles", "--slo", "30s", "--skip-test")
    (replica,) = _deploy(daemon, BUSY, "busy", *flags)["replicas"]
    assert re.match(r"1 processor \((affinity: \d+|control group)\)", replica["limits"][0])
    status, answer = daemon.query("/busy/predict", {"input": [2.0]})
    assert status == 200
    assert answer["output"] < 1.25
    assert psutil.Process(replica["pid"]).environ()["OMP_NUM_THREADS"] == "1"


def test_replicas_are_spread_over_processors(daemon: Daemon):
    """Where a limit is kept by affinity, two replicas of one processor have not the same one."""
    flags = ("--cpus", "1", "--replicas", "2", "--skip-test", "--input-type", "strings")
    found = _deploy(daemon, KNOWS.replace("knows", "spread"), "spread", *flags)["replicas"]
    if "affinity" in found[0]["limits"][0]:
        places = [tuple(psutil.Process(each["pid"]).cpu_affinity()) for each in found]
        assert [len(place) for place in places] == [1, 1]
        assert len(os.sched_getaffinity(0)) == 1 or places[0] != places[1]


def test_more_processors_than_there_are_limit_nothing(daemon: Daemon):
    """And that is said; as many threads are taken as there may be processors."""
    flags = ("--cpus", "1000", "--input-type", "strings", "--skip-test")
    (replica,) = _deploy(daemon, KNOWS.replace("knows", "wide"), "wide", *flags)["replicas"]
    assert "1000 processors" in replica["limits"][0]
    known = str(len(os.sched_getaffinity(0)))
    assert _asked(daemon, "wide", "OMP_NUM_THREADS") == {"OMP_NUM_THREADS": known}


def test_threads_are_told_to_every_library(daemon: Daemon):
    """What a deployer says beats what the daemon's environment says, and --cpus."""
    flags = ("--threads", "3", "--cpus", "1", "--input-type", "strings", "--skip-test")
    _deploy(daemon, KNOWS.replace("knows", "threads"), "threads", *flags)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    names += ("VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    assert set(_asked(daemon, "threads", *names).values()) == {"3"}
    assert "3 threads" in daemon.cli("model", "show", "threads").stdout


def test_the_processor_alone_is_seen_where_that_is_asked_for(daemon: Daemon):
    """No library sees a device; `auto` comes to the same where there is none."""
    for device in ("cpu", "auto"):
        name = f"on_{device}"
        flags = ("--device", device, "--input-type", "strings", "--skip-test")
        (replica,) = _deploy(daemon, KNOWS.replace("knows", name), name, *flags)["replicas"]
        assert replica["device"] == "cpu"
        seen = _asked(daemon, name, "CUDA_VISIBLE_DEVICES", "SERVD_DEVICE")
        assert seen == {"CUDA_VISIBLE_DEVICES": "", "SERVD_DEVICE": "cpu"}
    assert "DEVICE" in daemon.cli("ps").stdout


def test_replicas_have_one_device_each_in_turn(tmp_path, monkeypatch):
    """Of those that the machine says it has, through a restart too; `servd ps` shows which."""
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\nfor n in 0 1; do echo "GPU $n: NVIDIA H100 (UUID: x)"; done\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    flags = ("--input-type", "strings", "--skip-test")
    with running_daemon() as daemon:
        for name, device, expected in (
            ("turns", "cuda", ["cuda:0", "cuda:1", "cuda:0"]),
            ("second", "cuda:1", ["cuda:1", "cuda:1"]),
            ("automatic", "auto", ["cuda:0"]),
        ):
            more = ("--device", device, "--replicas", str(len(expected)))
            said = _deploy(daemon, KNOWS.replace("knows", name), name, *flags, *more)
            found = sorted(said["replicas"], key=lambda each: each["replica"])
            assert [each["device"] for each in found] == expected
        assert "2 CUDA devices: cuda:0 and cuda:1" in _refused(daemon, "--device", "cuda:2")
        daemon.stop()
        daemon.start()
        rows = until(lambda: len(ready(daemon, "turns")) == 3 and ready(daemon, "turns"), "all", 30)
        shown = [psutil.Process(row["pid"]).environ() for row in rows]
        assert [row["device"] for row in rows] == ["cuda:0", "cuda:1", "cuda:0"]
        assert [each["CUDA_VISIBLE_DEVICES"] for each in shown] == ["0", "1", "0"]
        assert {each["SERVD_DEVICE"] for each in shown} == {"cuda"}


def test_a_web_application_is_a_replica_as_any(daemon: Daemon):
    """It has limits, a device and variables as models have."""
    text = """
import os
async def site(scope, receive, send):
    if scope["type"] != "http":
        return
    said = ",".join(os.environ[name] for name in ("TOKEN", "SERVD_DEVICE", "OMP_NUM_THREADS"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said.encode()})
"""
    flags = ("--memory", "300m", "--device", "cpu", "--threads", "2", "--env-var", "TOKEN=abc")
    (replica,) = _deploy(daemon, text, "site", *flags)["replicas"]
    assert replica["limits"][0].startswith("memory 300 MiB")
    with urllib.request.urlopen(f"{daemon.query_url}/site/", timeout=10) as answer:
        assert answer.read() == b"abc,cpu,2"


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode):
            yield path, path.read_bytes()


def test_the_values_of_variables_are_told_to_the_model_alone(daemon: Daemon):
    """Not to listings, logs, events, errors, answers of the admin API or the process table."""
    listening = daemon.cli("--json", "status")
    assert listening.returncode == 0
    name = "secretive"
    flags = ("--input-type", "strings", "--skip-test", "--env-var")
    os.environ["FROM_HERE"] = OTHER
    try:
        said = _deploy(
            daemon, KNOWS.replace("knows", name), name, *flags, f"TOKEN={SECRET}", "--env-var",
            "FROM_HERE", "--env-var", "EMPTY=",
        )  # fmt: skip
    finally:
        del os.environ["FROM_HERE"]
    seen = _asked(daemon, name, "TOKEN", "FROM_HERE", "EMPTY")
    assert seen == {"TOKEN": SECRET, "FROM_HERE": OTHER, "EMPTY": ""}
    texts = [json.dumps(said)]
    for words in (
        ("ps",), ("model", "show", name), ("model", "ls"), ("status",), ("app", "ls"),
        ("logs", "daemon"), ("logs", name),
    ):  # fmt: skip
        texts += [daemon.cli(*words).stdout, daemon.cli("--json", *words).stdout]
    for path in ("/registry", "/models", f"/models/{name}/versions/1", "/replicas", "/status"):
        texts.append(json.dumps(admin(daemon, "GET", f"/api/v1{path}")[1]))
    texts += [" ".join(each.cmdline()) for each in _family(daemon)]
    assert not [text for text in texts if SECRET in text or OTHER in text]
    shown = json.loads(daemon.cli("--json", "model", "show", name).stdout)["versions"][0]
    assert shown["env_vars"] == ["EMPTY", "FROM_HERE", "TOKEN"]
    holding = [path for path, text in _files(daemon.data_dir) if SECRET.encode() in text]
    assert {path.name.partition("-")[0] for path in holding} == {"servd.db"}
    assert not (daemon.data_dir.stat().st_mode & 0o077)


LEAKS = """
import os
print("it is", os.environ["TOKEN"], flush=True)
if os.environ.get("FAIL"):
    int(os.environ["TOKEN"])

def leaks(inputs):
    raise ValueError("not with " + os.environ["TOKEN"])
"""


def test_what_a_model_prints_of_its_variables_is_hidden(daemon: Daemon):
    """In its log, and in the error of a deployment that fails with a value."""
    flags = ("--input-type", "strings", "--skip-test", "--env-var", f"TOKEN={SECRET}")
    _deploy(daemon, LEAKS, "leaks", *flags)
    daemon.query("/leaks/predict", {"input": "x"})

    def log() -> str:
        return daemon.cli("logs", "leaks").stdout

    until(lambda: "not with (the value of TOKEN)" in log(), "its log")
    assert "it is (the value of TOKEN)" in log()
    path = f"{daemon.data_dir.parent}/leaks.py:leaks"
    done = daemon.cli("deploy", path, *flags, "--env-var", "FAIL=1")
    assert done.returncode == 1
    assert "invalid literal for int() with base 10: '(the value of TOKEN)'" in done.stderr
    assert SECRET not in log() + done.stderr + done.stdout + daemon.cli("logs", "daemon").stdout


def _family(daemon: Daemon) -> list[psutil.Process]:
    parent = psutil.Process(daemon.pid)
    return [parent, *parent.children(recursive=True)]


def test_a_version_keeps_its_variables_and_another_value_is_another_version(daemon: Daemon):
    """By deployments, rollbacks and restarts; a removed one leaves its values nowhere."""
    text, name = KNOWS.replace("knows", "versions"), "versions"
    flags = ("--input-type", "strings", "--skip-test", "--no-cache", "--memory", "200m")
    assert _deploy(daemon, text, name, *flags, "--env-var", "KEY=one-77af")["version"] == "1"
    assert _deploy(daemon, text, name, *flags, "--env-var", "KEY=one-77af")["event"] == "unchanged"
    assert _deploy(daemon, text, name, *flags, "--env-var", "KEY=two-91be")["version"] == "2"
    again = daemon.cli(
        "deploy", f"{daemon.data_dir.parent}/{name}.py:{name}", *flags, "--version", "1",
        "--env-var", "KEY=two-91be",
    )  # fmt: skip
    assert "its variables differ" in again.stderr
    assert _asked(daemon, name, "KEY") == {"KEY": "two-91be"}
    assert daemon.cli("rollback", name).returncode == 0
    assert _asked(daemon, name, "KEY") == {"KEY": "one-77af"}
    daemon.stop()
    daemon.start()
    until(lambda: ready(daemon, name), "its return", 30)
    assert _asked(daemon, name, "KEY") == {"KEY": "one-77af"}
    row = next(each for each in ready(daemon, name) if each["version"] == "1")
    assert row["limits"][0].startswith("memory 200 MiB")
    assert daemon.cli("scale", name, "2").returncode == 0
    pids = [each["pid"] for each in ready(daemon, name) if each["version"] == "1"]
    assert [psutil.Process(pid).environ()["KEY"] for pid in pids] == ["one-77af"] * 2
    assert daemon.cli("model", "rm", f"{name}:2", "--force").returncode == 0
    daemon.stop()
    assert not [path for path, found in _files(daemon.data_dir) if b"two-91be" in found]
    daemon.start()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--memory", "1k"), "too little memory"),
        (("--memory", "0"), "too little memory"),
        (("--memory", "-1g"), "not a size"),
        (("--memory", "9999999t"), "not a size"),
        (("--memory", "999999999g"), "more memory than any machine has"),
        (("--cpus", "0"), "no number of processors"),
        (("--cpus", "-2"), "no number of processors"),
        (("--cpus", "nan"), "no number of processors"),
        (("--cpus", "1e9"), "no number of processors"),
        (("--threads", "0"), "must be 1 or above"),
        (("--threads", "99999"), "no number of threads"),
        (("--device", "tpu"), "is not a device"),
        (("--device", "cuda:-1"), "is not a device"),
        (("--device", "cuda"), "has no CUDA device"),
        (("--device", "cuda:0"), "has no CUDA device"),
        (("--device", "cpu", "--gpus", "1", "--runtime", "docker"), "give one of them"),
        (("--gpus", "1"), "--gpus is for containers"),
        (("--env-var", "A B=1"), "'A B' is not a name"),
        (("--env-var", "=1"), "not a name"),
        (("--env-var", "1A=1"), "not a name"),
        (("--env-var", "NOT_SET_ANYWHERE"), "is not set here"),
        (("--env-var", "SERVD_TOKEN=x"), "the runtime's own"),
        (("--env-var", "PYTHONHOME=/x"), "the runtime's own"),
        (("--env-var", "A=1", "--env-var", "A=2"), "given twice"),
        (("--device", "cpu", "--env-var", "CUDA_VISIBLE_DEVICES=3"), "what --device sets"),
        (("--threads", "2", "--env-var", "OMP_NUM_THREADS=3"), "what --threads sets"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else "",
)
def test_what_no_replica_can_have_is_refused(daemon: Daemon, flags, words):
    """In words that say what was wrong, before anything is started."""
    assert words in _refused(daemon, *flags)
    assert not replicas(daemon, "plain")


def test_a_value_may_be_long_and_have_lines(daemon: Daemon):
    """Up to what the kernel gives a process; it comes as it was given."""
    value = "-----BEGIN KEY-----\n" + "x" * 100_000 + "\n-----END KEY-----\n"
    path = write_model(daemon, "lines.py", KNOWS.replace("knows", "lines"))
    body = {"model": "lines", "env_vars": {"KEY": value}, "input_type": "strings", "app": "lines"}
    done = daemon.cli("--json", "deploy", f"{path}:lines", "--skip-test", "--input-type", "strings")
    bundle = json.loads(done.stdout)["bundle"]
    assert admin(daemon, "POST", "/api/v1/deployments", body | {"bundle": bundle})[0] == 200
    assert _asked(daemon, "lines", "KEY") == {"KEY": value}
    for wrong, words in (("x" * 1_000_000, "1000000 bytes"), ("a\0b", "zero byte")):
        body["env_vars"] = {"KEY": wrong}
        status, answer = admin(daemon, "POST", "/api/v1/deployments", body | {"bundle": bundle})
        assert (status, words in json.dumps(answer)) == (400, True)
        assert wrong[:1000] not in json.dumps(answer)

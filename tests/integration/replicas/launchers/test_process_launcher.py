"""Replica processes and the records of them, with real processes."""

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from model_runtime import manifest
from servd.environments.interpreter import InterpreterError, own
from servd.replicas.launchers.base import LaunchSpec, describe_exit
from servd.replicas.launchers.orphans import Orphans
from servd.replicas.launchers.process import Around, ProcessLauncher, not_started
from servd.system.identity import folder_id
from tests import interpreters
from tests.replicas import WAIT_S, make_bundle, version_of


def test_a_process_runs_in_its_own_session_and_leaves_nothing(tmp_path):
    """A launched replica has its session, pinned threads and a log; cleanup removes the rest."""

    async def story():
        make_bundle(tmp_path / "b", "def f(x): return x")
        spec = LaunchSpec(version_of("-1"), 0, tmp_path / "b", tmp_path / "logs" / "0.log")
        environ = {**os.environ, "MKL_NUM_THREADS": "2", "SERVD_TOKEN": "secret"}
        handle = await ProcessLauncher(tmp_path / "run", environ).launch(spec)
        assert handle.poll() is None
        assert os.getsid(handle.pid) == handle.pid
        env = psutil.Process(handle.pid).environ()
        assert (env["OMP_NUM_THREADS"], env["MKL_NUM_THREADS"]) == ("1", "2")
        assert "SERVD_TOKEN" not in env
        handle.kill()
        async with asyncio.timeout(WAIT_S):
            assert await handle.wait() == -9
        handle.cleanup()
        assert not list((tmp_path / "run" / "scratch").iterdir())
        assert spec.log_path.exists()
        handle.terminate()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("carrier", "scheme"), [("auto", "unix"), ("unix", "unix"), ("zmq", "ipc")]
)
def test_a_replica_listens_by_the_carrier_of_the_setting(tmp_path, carrier, scheme):
    """Its handle says where, and the socket goes with it."""

    async def story():
        make_bundle(tmp_path / "b", "def f(x): return x")
        spec = LaunchSpec(version_of("-1"), 0, tmp_path / "b", tmp_path / "logs" / "0.log")
        with tempfile.TemporaryDirectory(prefix="sv-") as folder:  # a socket's path is short
            launcher = ProcessLauncher(Path(folder), os.environ, around=Around(carrier=carrier))
            handle = await launcher.launch(spec)
            assert handle.address.startswith(f"{scheme}://{folder}/r/")
            assert f"--listen={handle.address}" in psutil.Process(handle.pid).cmdline()
            handle.kill()
            async with asyncio.timeout(WAIT_S):
                await handle.wait()
            handle.cleanup()
            assert not list((Path(folder) / "r").iterdir())

    asyncio.run(story())


def _in_environment(folder, python):
    """Make a bundle whose model runs in an interpreter as it is."""
    make_bundle(folder, "def f(x): return x")
    said = manifest.read(folder)
    environment = {"python": "3.0", "interpreter": str(python)}
    manifest.write(replace(said, environment=environment), folder)


@pytest.mark.parametrize("series", interpreters.others()[:1])
@pytest.mark.parametrize("carrier", ["auto", "zmq"])
def test_a_replica_of_another_python_listens_at_a_stream(tmp_path, series, carrier):
    """Whatever the setting says: there may be no ZeroMQ; servd's own variables stay away."""

    async def story():
        python = interpreters.make_environment(tmp_path / "env", series)
        _in_environment(tmp_path / "b", python)
        spec = LaunchSpec(version_of("-1"), 0, tmp_path / "b", tmp_path / "logs" / "0.log")
        environ = {**os.environ, "PYTHONHOME": sys.base_prefix}
        with tempfile.TemporaryDirectory(prefix="sv-") as folder:
            around = Around(carrier=carrier, scratch_dir=Path(folder) / "scratch")
            handle = await ProcessLauncher(Path(folder), environ, around=around).launch(spec)
            process = psutil.Process(handle.pid)
            assert handle.address.startswith(f"unix://{folder}/r/")
            assert process.cmdline()[0] == str(python)
            assert process.cmdline()[1].startswith(f"{folder}/runtime/runtime-")
            assert "PYTHONHOME" not in process.environ()
            assert process.environ()["VIRTUAL_ENV"] == str(tmp_path / "env")
            handle.kill()
            async with asyncio.timeout(WAIT_S):
                await handle.wait()
            handle.cleanup()

    asyncio.run(story())


def test_an_interpreter_that_is_gone_or_does_not_start_is_named(tmp_path):
    """Each launch looks again, so that one that has come back is used."""

    async def story():
        python = tmp_path / "env/bin/python"
        _in_environment(tmp_path / "b", python)
        spec = LaunchSpec(version_of("-1"), 0, tmp_path / "b", tmp_path / "logs" / "0.log")
        launcher = ProcessLauncher(tmp_path / "run", os.environ)
        with pytest.raises(InterpreterError, match=str(python)):
            await launcher.launch(spec)
        python.parent.mkdir(parents=True)
        python.write_text("no program")
        with pytest.raises(InterpreterError, match="may not be executed"):
            await launcher.launch(spec)
        python.unlink()
        python.symlink_to(sys.executable)
        handle = await launcher.launch(spec)
        handle.kill()
        async with asyncio.timeout(WAIT_S):
            await handle.wait()
        handle.cleanup()

    asyncio.run(story())


def test_a_program_that_the_kernel_refuses_is_named():
    """What was whole when it was asked may be gone when it is started; other errors stay."""
    gone = not_started(own(), FileNotFoundError(errno.ENOENT, "No such file or directory"))
    assert isinstance(gone, InterpreterError)
    assert str(own().path) in gone.message
    full = OSError(errno.EMFILE, "Too many open files")
    assert not_started(own(), full) is full


def test_orphans_are_ended_and_strangers_are_not(tmp_path):
    """Only a process with the recorded creation time is killed."""
    orphans = Orphans(tmp_path)
    command = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as orphan,
        subprocess.Popen(command, stdin=subprocess.PIPE) as stranger,
    ):
        orphans.record(orphan.pid)
        here = folder_id(tmp_path / "replicas")
        record = {"pid": stranger.pid, "create_time": 1.0, "folder_id": here}
        (tmp_path / "replicas" / "x.json").write_text(json.dumps(record))
        (tmp_path / "replicas" / "y.json").write_text("{")
        assert orphans.end_all() == 1
        assert not psutil.pid_exists(orphan.pid)
        orphan.poll()
        assert stranger.poll() is None
        assert not list((tmp_path / "replicas").iterdir())
        stranger.kill()


def test_a_copied_record_is_of_the_originals_replica(tmp_path):
    """A start on a copy of a data directory leaves the replicas of the daemon on it alone."""
    orphans = Orphans(tmp_path / "original")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as replica:
        orphans.record(replica.pid)
        shutil.copytree(tmp_path / "original", tmp_path / "copy")
        assert list((tmp_path / "copy" / "replicas").iterdir())
        assert Orphans(tmp_path / "copy").end_all() == 0
        assert replica.poll() is None
        assert orphans.end_all() == 1


def test_an_exit_status_is_described_in_words():
    """Statuses and signals are named."""
    assert describe_exit(3) == "ended (exit 3)"
    assert describe_exit(-11) == "ended (killed by signal 11: a crash in native code)"


def test_a_user_without_a_home_gets_one(tmp_path, monkeypatch):
    """Libraries ask for a home and a name when they are imported; a known user keeps the own."""

    async def environment_of(environ):
        make_bundle(tmp_path / "b", "def f(x): return x")
        spec = LaunchSpec(version_of("-1"), 0, tmp_path / "b", tmp_path / "logs" / "0.log")
        handle = await ProcessLauncher(tmp_path / "run", environ).launch(spec)
        try:
            async with asyncio.timeout(WAIT_S):
                # Until the process has become the replica, it has no environment of its own.
                while not (found := psutil.Process(handle.pid).environ()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            return found
        finally:
            handle.kill()
            await handle.wait()
            handle.cleanup()
            shutil.rmtree(tmp_path / "b")

    bare = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER")}
    assert "HOME" not in asyncio.run(environment_of(bare))
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    found = asyncio.run(environment_of(bare))
    assert found["HOME"].startswith(str(tmp_path / "run" / "scratch"))
    assert found["USER"] == "user-54321"
    assert asyncio.run(environment_of({**bare, "HOME": "/h"}))["HOME"] == "/h"

"""Tests of the runtime's zip: what is in it, where it is written, and what a process there has."""

import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servd.environments import runtime
from servd.environments.interpreter import Interpreter, at, own
from servd.errors import MachineError
from tests import interpreters

OTHERS = interpreters.others()


@pytest.fixture
def bare() -> Interpreter:
    """Servd's own Python as if it were another: without anything installed, by -S."""
    return replace(own(), is_own=False, sys_path=())


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Interpreter:
    """The interpreter of an empty environment."""
    return at(interpreters.make_environment(tmp_path / "env", str(request.param)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/servd/runtime"


def _run(words: list[str], **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, **more)


def test_the_own_interpreter_needs_no_zip(tmp_path: Path) -> None:
    """Servd's own has the package; the working directory is not searched."""
    words = runtime.command(own(), "model_runtime.probe", "x", folder=tmp_path / "zips")

    assert words == [sys.executable, "-P", "-m", "model_runtime.probe", "x"]
    assert not (tmp_path / "zips").exists()
    assert runtime.variables(own(), {"PYTHONPATH": "/a", "PYTHONHOME": "/b"}) == {
        "PYTHONPATH": "/a",
        "PYTHONHOME": "/b",
    }


def test_a_replica_starts_from_the_zip(other: Interpreter, tmp_path: Path) -> None:
    """In each Python that is here a replica's command line is understood, from compiled code."""
    words = runtime.command(other, "model_runtime", "--help", folder=tmp_path / "zips")

    said = _run(words, env=runtime.variables(other, os.environ))

    assert said.returncode == 0, said.stderr
    assert "--listen" in said.stdout
    assert words[1].endswith(f"-{other.tag}.zip")
    members = zipfile.ZipFile(words[1]).namelist()
    assert {"model_runtime/loop.py", "model_runtime/loop.pyc", "__main__.pyc"} < set(members)
    assert not any(name.startswith(("servd", "msgpack", "zmq")) for name in members)


def test_nothing_that_is_not_installed_is_imported(bare: Interpreter, tmp_path: Path) -> None:
    """Without any package a replica starts: this Python stands in for others that are not here."""
    words = runtime.command(bare, "model_runtime", "--help", folder=tmp_path)

    said = _run([words[0], "-I", "-S", *words[1:]])

    assert said.returncode == 0, said.stderr


def test_it_is_written_once(other: Interpreter, tmp_path: Path) -> None:
    """Who asks again finds what is there, and starts nothing."""
    first = runtime.command(other, folder=tmp_path)[1]
    written = Path(first).stat().st_mtime_ns

    assert runtime.command(other, folder=tmp_path)[1] == first
    assert Path(first).stat().st_mtime_ns == written
    assert len(list(tmp_path.glob("*.zip"))) == 2


def test_several_that_write_at_once_do_not_disturb_each_other(
    bare: Interpreter, tmp_path: Path
) -> None:
    """All get the same whole file, and nothing half is left."""
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(runtime.command, bare, folder=tmp_path) for _ in range(6)]
        paths = {each.result()[1] for each in asked}

    assert len(paths) == 1
    assert zipfile.ZipFile(paths.pop()).testzip() is None
    assert not list(tmp_path.glob(".half-*"))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_one_that_is_cut_is_written_anew(bare: Interpreter, tmp_path: Path, share: float) -> None:
    """Half a file, as a full disk or a lost power leaves it, is not taken for whole."""
    path = Path(runtime.command(bare, folder=tmp_path)[1])
    for each in tmp_path.glob("*.zip"):
        os.truncate(each, int(each.stat().st_size * share))

    assert runtime.command(bare, folder=tmp_path)[1] == str(path)

    assert _run([sys.executable, str(path), "model_runtime", "--help"]).returncode == 0


def test_what_a_killed_one_left_is_removed_later(bare: Interpreter, tmp_path: Path) -> None:
    """Half-written files go after an hour; a younger one may still be written."""
    old, young = tmp_path / ".half-old", tmp_path / ".half-young"
    old.write_bytes(b"x")
    os.utime(old, (1, 1))
    young.write_bytes(b"x")

    runtime.command(bare, folder=tmp_path)

    assert not old.exists()
    assert young.exists()


def test_what_older_versions_left_is_removed_later(bare: Interpreter, tmp_path: Path) -> None:
    """A zip that nobody has used for a month goes when another is written; a used one stays."""
    mine = Path(runtime.command(bare, folder=tmp_path)[1])
    month_ago_s = mine.stat().st_mtime - 31 * 86400
    other = tmp_path / "runtime-0123456789abcdef.zip"
    other.write_bytes(b"")
    for path in (mine, other):
        os.utime(path, (month_ago_s, month_ago_s))

    runtime.command(bare, folder=tmp_path)
    next(tmp_path.glob(f"{mine.name.rpartition('-cp')[0]}.zip")).unlink()
    runtime.command(replace(bare, tag="cpython-other"), folder=tmp_path)

    assert mine.exists()
    assert not other.exists()


def test_where_its_folder_cannot_be_written_the_cache_has_it(
    bare: Interpreter, cache: Path, tmp_path: Path
) -> None:
    """A data directory that is full or read-only keeps nobody from starting."""
    (tmp_path / "file").write_text("")

    path = runtime.command(bare, folder=tmp_path / "file/zips")[1]

    assert Path(path).parent == cache


def test_where_neither_can_be_written_a_folder_of_temporary_files_has_it(
    bare: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only home keeps nobody from starting; a folder that others may write is not used."""
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    ours = tmp_path / f"temporary/servd-runtime-{os.geteuid()}"

    assert Path(runtime.command(bare, folder=tmp_path / "file/x")[1]).parent == ours
    assert ours.stat().st_mode & 0o777 == 0o700

    ours.chmod(0o777)
    assert Path(runtime.command(bare)[1]).parent != ours


def test_where_nothing_can_be_written_that_is_said(
    bare: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the machine that refuses it, with the place that was tried last."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(runtime, "_shared", lambda: tmp_path / "file/shared")

    with pytest.raises(MachineError, match="this machine refuses it"):
        runtime.command(bare, folder=tmp_path / "file/x")


def test_an_interpreter_that_cannot_compile_runs_the_sources(
    bare: Interpreter, tmp_path: Path
) -> None:
    """What only makes starts faster is done without."""
    path = runtime.command(replace(bare, path=Path("/bin/false")), folder=tmp_path)[1]

    assert _run([sys.executable, path, "model_runtime", "--help"]).returncode == 0


# --- what a process there has for an environment ---


def test_what_leads_to_servds_own_files_does_not_reach_another(
    other: Interpreter, tmp_path: Path
) -> None:
    """Its home and its packages stay away; the user's own PYTHONPATH goes along."""
    mine = own().sys_path[-1]
    users = tmp_path / "users"

    there = runtime.variables(
        other,
        {
            "PYTHONPATH": os.pathsep.join([str(mine), str(users), str(Path(__file__).parents[3])]),
            "PYTHONHOME": sys.base_prefix,
            "PYTHONSTARTUP": "/x.py",
            "VIRTUAL_ENV": sys.prefix,
            "PATH": "/usr/bin",
            "KEPT": "1",
        },
    )

    assert there == {
        "PYTHONPATH": str(users),
        "VIRTUAL_ENV": str(other.prefix),
        "PATH": f"{other.path.parent}{os.pathsep}/usr/bin",
        "KEPT": "1",
    }


def test_a_conda_environment_is_named_as_conda_does(other: Interpreter) -> None:
    """Its packages look for their files by that name."""
    (other.prefix / "conda-meta").mkdir()

    there = runtime.variables(other, {"CONDA_PREFIX": "/opt/conda"})

    assert there["CONDA_PREFIX"] == str(other.prefix)
    assert "VIRTUAL_ENV" not in there


_ASKS = """
import json, sys
from model_runtime import packed, protocol
def told(name):
    try:
        return getattr(__import__(name), "__file__", None)
    except ImportError:
        return None
def main():
    print(json.dumps({name: told(name) for name in sys.argv[1:]}))
    assert protocol.unpack_header(protocol.pack_header([1, "x"])) == [1, "x"]
"""


def _asked(other: Interpreter, folder: Path, *names: str) -> dict[str, str | None]:
    """Return which file a module is of in a process of the runtime."""
    (folder / "asking.py").write_text(_ASKS)
    words = runtime.command(other, "asking", *names, folder=folder / "zips")
    env = runtime.variables(other, {**os.environ, "PYTHONPATH": str(folder)})
    said = _run(words, env=env)
    assert said.returncode == 0, said.stderr
    found: dict[str, str | None] = json.loads(said.stdout)
    return found


def test_what_servd_has_is_found_last(other: Interpreter, tmp_path: Path) -> None:
    """Only modules that are named, for this Python, and that the environment has not itself."""
    site = other.sys_path[-1]
    (site / "click.py").write_text("")

    found = _asked(other, tmp_path, "click", "cloudpickle", "a2wsgi", "aiohttp", "zmq", "numpy")

    assert found["click"] == str(site / "click.py")
    assert str(found["cloudpickle"]).startswith(str(own().prefix))
    assert found["aiohttp"] is found["zmq"] is found["numpy"] is None


def test_a_file_of_the_models_own_may_have_any_name(other: Interpreter, tmp_path: Path) -> None:
    """What the runtime consists of takes no name but its package's from the model."""
    for name in ("msgpack", "zmq", "loop", "protocol", "home"):
        (tmp_path / f"{name}.py").write_text("")

    found = _asked(other, tmp_path, "msgpack", "zmq", "loop", "protocol", "home")

    assert found == {name: str(tmp_path / f"{name}.py") for name in found}


def test_what_the_environment_does_at_its_start_is_done(other: Interpreter, tmp_path: Path) -> None:
    """Sitecustomize runs, as with any program of that environment."""
    (other.sys_path[-1] / "sitecustomize.py").write_text("import sys; sys.path.append('/mine')")
    (tmp_path / "showing.py").write_text("import sys\ndef main(): print('/mine' in sys.path)")
    words = runtime.command(other, "showing", folder=tmp_path / "zips")

    env = runtime.variables(other, {**os.environ, "PYTHONPATH": str(tmp_path)})

    assert _run(words, env=env).stdout == "True\n"

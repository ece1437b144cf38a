"""Tests of interpreters: who answers, what is installed there, and what is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from servd.environments import interpreter
from servd.environments.interpreter import Interpreter, InterpreterError, at, own
from tests import interpreters

OTHERS = interpreters.others()


def _install(python: Path, name: str, version: str, modules: dict[str, str]) -> None:
    """Put a distribution into the environment of a Python, as pip leaves one."""
    folder = at(python).sys_path[-1]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for file, text in modules.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in modules))


@pytest.fixture(params=OTHERS)
def series(request: pytest.FixtureRequest) -> str:
    """Each series of Python that is here beside servd's own."""
    return str(request.param)


@pytest.fixture
def python(series: str, tmp_path: Path) -> Path:
    """The Python of an empty environment."""
    return interpreters.make_environment(tmp_path / "env", series)


def test_the_own_interpreter_is_known_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servd's own is told from this process, by its path, its folder or its environment."""
    monkeypatch.setattr(subprocess, "run", None)

    mine = own()

    assert mine.is_own
    assert mine.path == Path(sys.executable)
    assert mine.series == sys.version_info[:2]
    assert at(Path(sys.executable)) == at(Path(sys.prefix)) == mine
    assert mine.version_of("PyZMQ") is not None
    assert mine.version_of("no-such-thing") is None
    assert mine.distributions_of("zmq") == ("pyzmq",)
    assert all(mine.has_module(name) for name in ("json", "sys", "zmq", "msgpack"))
    assert not mine.has_module("no_such_thing")


def test_another_interpreter_is_asked(python: Path, series: str) -> None:
    """An environment's Python tells its version, its folders and its ABI; it is none of servd's."""
    found = at(python)

    assert not found.is_own
    assert found.is_environment
    assert found.path == python
    assert found.prefix == python.parent.parent
    assert ".".join(map(str, found.series)) == series
    assert found.tag == f"cpython-{series.replace('.', '')}"
    assert found.abi.startswith(found.tag)
    assert [folder.name for folder in found.sys_path] == ["site-packages"]


def test_a_folder_stands_for_its_python(python: Path) -> None:
    """The folder of an environment is as good as the path of its Python."""
    assert at(python.parent.parent) == at(python)


def test_what_is_installed_is_read_from_its_folders(python: Path) -> None:
    """Distributions and modules of another environment are found, also those installed later."""
    before = at(python)
    assert before.version_of("some-thing") is None

    _install(python, "some-thing", "1.2", {"thing/__init__.py": "", "things.py": ""})

    assert before.version_of("Some_Thing") == "1.2"
    assert before.has_module("thing")
    assert before.has_module("things")
    assert before.distributions_of("thing") == before.distributions_of("things") == ("some-thing",)
    assert before.distributions_of("json") == ()
    assert not before.has_module("zmq")
    assert all(before.has_module(name) for name in ("json", "sys", "_socket", "zoneinfo"))


def test_a_module_compiled_for_it_is_found(python: Path) -> None:
    """An extension module has another Python's mark in its name, and counts there."""
    found = at(python)

    (found.sys_path[-1] / f"compiled.{found.abi}.so").write_bytes(b"")

    assert found.has_module("compiled")


def test_a_folder_that_a_pth_file_names_counts(python: Path, tmp_path: Path) -> None:
    """What an editable install adds to the path is seen after it was added, without a restart."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "mine.py").write_text("")
    assert not at(python).has_module("mine")

    (at(python).sys_path[-1] / "project.pth").write_text(f"{project}\n")

    assert at(python).has_module("mine")


def test_it_is_asked_once(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the same interpreter again starts no process."""
    found = at(python)
    monkeypatch.setattr(subprocess, "run", None)

    assert at(python) is found


def test_the_callers_own_variables_do_not_mislead_it(
    python: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where another Python has its files, and a module named like one it needs, are not heeded."""
    (tmp_path / "json.py").write_text("raise RuntimeError")
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert at(python).prefix == python.parent.parent


def test_what_a_site_prints_is_no_answer(python: Path) -> None:
    """An environment whose start-up files print is understood all the same."""
    before = at(python)
    (before.sys_path[-1] / "loud.pth").write_text("import sys; print('{\"path\": 1}')\n")

    assert at(python).version == before.version


def _refused(place: Path) -> InterpreterError:
    with pytest.raises(InterpreterError) as caught:
        at(place)
    assert str(place.name) in caught.value.message
    return caught.value


def test_a_place_without_python_is_refused(tmp_path: Path) -> None:
    """Nothing, a folder, a file and a program that is none are told by what they are."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "binary").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "binary").chmod(0o755)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    assert "there is no Python at" in _refused(tmp_path / "missing").message
    assert "it has no bin/python" in _refused(tmp_path / "folder").message
    assert "may not be executed" in _refused(tmp_path / "text.txt").message
    assert "does not start" in _refused(tmp_path / "binary").message
    assert "is no Python that works" in _refused(Path("/bin/cat")).message
    assert "is a link" in _refused(tmp_path / "loop").message


def test_one_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that never answers is not waited for forever."""
    monkeypatch.setattr(interpreter, "_ASK_S", 0.2)
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)

    assert "says nothing within" in _refused(program).message


def test_an_environment_whose_python_is_gone_is_told(tmp_path: Path) -> None:
    """A link to a Python that was removed names both ends, and how the environment is made anew."""
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to("/opt/python3.12/bin/python3.12")

    error = _refused(tmp_path / "env")

    assert "/opt/python3.12/bin/python3.12" in error.message
    assert "venv --clear" in error.hint


@pytest.mark.parametrize("series", ["2.7", "3.6", "3.8"])
def test_one_that_is_too_old_is_refused(series: str, tmp_path: Path) -> None:
    """A Python before 3.9 says its version, and is told which would do."""
    python = interpreters.too_old(tmp_path, series)

    with pytest.raises(InterpreterError, match=rf"Python {series}.*too old.*3\.9 and later"):
        at(python)


def test_a_program_in_an_interpreters_place_is_looked_through(python: Path, tmp_path: Path) -> None:
    """A version manager's script decides by the folder it is called in: what it started counts."""
    shim = tmp_path / "shim"
    shim.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    shim.chmod(0o755)

    found = at(shim)

    assert isinstance(found, Interpreter)
    assert found.path == python

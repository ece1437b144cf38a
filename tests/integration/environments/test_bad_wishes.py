"""Tests of what cannot be had: each is said with what to do, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servd.environments.failures import EnvironmentFailedError
from servd.environments.interpreter import InterpreterError, own
from servd.environments.lock import Lock, Wanted, compose, parse, read
from servd.environments.store import Environments
from servd.errors import MachineError, ServdError
from tests import interpreters
from tests.environments import TOOLS, Told, make, offline, variables, versions
from tests.wheels import write_project, write_wheel

BIG = {f"big{number}.py": "x = 1\n" * 100_000 for number in range(20)}
"""More than a small disk has room for."""


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> str:
    """Each of the tools."""
    return str(request.param)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a wheel of `alpha`."""
    write_wheel(tmp_path / "wheels", "alpha", "1.0")
    return tmp_path / "wheels"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _left(store: Environments) -> list[str]:
    """Return what is there that is neither whole nor a lock's file."""
    built = [each.name for each in (store.folder / "built").glob("*") if each.name != "flocks"]
    scratch = [each.name for each in (store.folder / "tools" / "scratch").glob("*")]
    return [*built, *scratch]


def test_a_full_disk_is_said_and_nothing_is_left(
    small_disk: Path, tmp_path: Path, tool: str
) -> None:
    """The words are the builder's, the hint is what makes room, and the room is free again."""
    write_wheel(tmp_path / "wheels", "heavy", "1.0", files=BIG)
    store = Environments(
        small_disk / "environments",
        variables(tool, tmp_path / "home", UV_CACHE_DIR=str(tmp_path / "cache")),
    )
    lock = store.lock(offline(tmp_path / "wheels", "heavy"))
    free = os.statvfs(small_disk).f_bavail
    with pytest.raises((EnvironmentFailedError, MachineError)) as caught:
        store.ensure(lock)
    said = caught.value.message.lower()
    assert "no space left" in said or "os error 28" in said
    assert "room" in caught.value.hint
    assert _left(store) == []
    assert os.statvfs(small_disk).f_bavail > free - 50


def test_a_data_directory_that_cannot_be_written_is_said(tmp_path: Path, wheels: Path) -> None:
    """The folder is named, whoever is asked to build there."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    mounts = (["--bind", str(folder), str(folder)], ["-o", "remount,bind,ro", str(folder)])
    for options in mounts:
        if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
            pytest.skip("only root can mount")
    try:
        store = Environments(folder / "environments", variables("uv", tmp_path / "home"))
        with pytest.raises(MachineError) as caught:
            store.lock(offline(wheels, "alpha"))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert str(folder) in caught.value.message
    assert "Read-only" in caught.value.message


def test_a_home_that_cannot_be_written_is_done_without(
    tmp_path: Path, wheels: Path, tool: str
) -> None:
    """A cache that uv or pip would have there lies in the data directory, or there is none."""
    home = tmp_path / "home"
    home.mkdir()
    mounts = (["--bind", str(home), str(home)], ["-o", "remount,bind,ro", str(home)])
    for options in mounts:
        if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
            pytest.skip("only root can mount")
    try:
        store = make(tmp_path, tool)
        interpreter = store.ensure(store.lock(offline(wheels, "alpha")))
        store.tidy()
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)
    assert tool == "pip" or (store.folder / "cache").is_dir()
    assert versions(interpreter.path, "alpha") == {"alpha": "1.0"}


@pytest.mark.parametrize("python", ["3.7", "3.8.18", "2", "2.7"])
def test_a_python_that_is_too_old_is_said_before_anything(python: str, tmp_path: Path) -> None:
    """The message has the versions that models run in."""
    with pytest.raises(EnvironmentFailedError, match="too old: models run in Python 3") as e:
        make(tmp_path, "uv").lock(Wanted(("alpha",), python, tmp_path))
    assert "--python" in e.value.hint


def test_an_old_python_by_its_path_is_said_to_be_too_old(tmp_path: Path) -> None:
    """Its version is in the message."""
    python = interpreters.too_old(tmp_path, "3.8")
    with pytest.raises(InterpreterError, match="too old"):
        make(tmp_path, "uv").lock(Wanted(("alpha",), str(python), tmp_path))


def test_a_python_that_cannot_be_had_lists_those_that_can(tmp_path: Path, tool: str) -> None:
    """Servd's own is among them."""
    with pytest.raises(EnvironmentFailedError, match=r"no Python 3\.77") as caught:
        make(tmp_path, tool).lock(Wanted(("alpha",), "3.77", tmp_path))
    assert own().version in caught.value.hint


@pytest.mark.parametrize("series", interpreters.others())
def test_other_pythons_are_found_by_their_version(
    series: str, tmp_path: Path, wheels: Path
) -> None:
    """Whichever version manager they are of; the environment is of that version."""
    more = {"PYENV_ROOT": os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))}
    store = make(tmp_path, "uv", **more)
    interpreter = store.ensure(store.lock(offline(wheels, "alpha", python=series)))
    assert interpreter.version.startswith(f"{series}.")
    assert versions(interpreter.path, "alpha") == {"alpha": "1.0"}


def test_a_lock_for_another_platform_is_refused(tmp_path: Path) -> None:
    """Its files would not run here; the message has both platforms."""
    lock = compose(["alpha==1.0"], own().version, wheels={})
    platform = lock.text.splitlines()[2].rpartition(" ")[2]
    other = parse(lock.text.replace(platform, "linux-riscv64-glibc"))
    with pytest.raises(EnvironmentFailedError, match="linux-riscv64-glibc") as caught:
        make(tmp_path, "uv").ensure(other)
    assert platform in caught.value.message


@pytest.mark.parametrize(
    "content",
    [b"", b"alpha==1.0\n", b"\xff\xfe\x00", b"# The exact requirements", "{head}alpha>=1\n",
     "{head}alpha @ file:///etc\n", "{head}-r /etc/passwd\n", "{head}--index-url\n"],
)  # fmt: skip
def test_a_corrupt_lock_is_said_to_be_none(content: bytes | str, tmp_path: Path) -> None:
    """Nothing is installed of a text that somebody has changed to something else."""
    path = tmp_path / "environment.lock"
    head = compose([], own().version, wheels={}).text
    path.write_bytes(content if isinstance(content, bytes) else content.format(head=head).encode())
    with pytest.raises(EnvironmentFailedError, match="is no lock of an environment") as caught:
        read(path)
    assert "deploy the model again" in caught.value.hint


def test_a_uv_that_does_not_work_is_said_and_pip_used(tmp_path: Path, wheels: Path) -> None:
    """Its last words are told, once, and the environment is built all the same."""
    broken = tmp_path / "uv"
    broken.write_text("#!/bin/sh\necho 'uv: cannot execute: lib missing' >&2\nexit 127\n")
    broken.chmod(0o755)
    store, told = make(tmp_path, "uv", SERVD_UV=str(broken)), Told()
    store.ensure(store.lock(offline(wheels, "alpha"), told), told)
    assert told.count_of(f"{broken} does not work") == 1
    assert "lib missing" in told.text
    assert store.list()[0].tool == "pip"


def test_a_builder_that_is_killed_is_said(tmp_path: Path) -> None:
    """The signal is in the message, and memory in the hint; nothing is left."""
    killed = tmp_path / "uv"
    killed.write_text('#!/bin/sh\n[ "$1" = --version ] && echo uv 9.9.9 && exit\nkill -9 $$\n')
    killed.chmod(0o755)
    store = make(tmp_path, "uv", SERVD_UV=str(killed))
    with pytest.raises(EnvironmentFailedError, match="signal 9") as caught:
        store.ensure(compose(["alpha==1.0"], own().version, wheels={}))
    assert "memory" in caught.value.hint
    assert _left(store) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["-r missing.txt"], "'missing.txt' is not there"),
        (["./missing"], "'./missing' is not there"),
        (["-e ./missing"], "'./missing' is not there"),
        (["missing-1.0-py3-none-any.whl"], "is not there"),
        (["--find-links missing"], "'missing' is not there"),
        (["-r loop.txt"], "names itself"),
        (["-r binary.txt"], "zero bytes"),
        (["-r latin.txt"], "line 2 is not UTF-8"),
        (["-r folder"], "cannot be read"),
        (["--frobnicate"], "'--frobnicate' is no option"),
        (["-r http://example.invalid/r.txt"], "at an address"),
        (["=1.0"], "is no requirement"),
        (["x @ --index-url=http://example.invalid/"], "is an option, where a path"),
        (["alpha"] * 20_001, "more than 20,000 lines"),
    ],
)
def test_lines_that_cannot_be_read_are_named(lines: list[str], words: str, tmp_path: Path) -> None:
    """The file and the line are in the message; nobody is asked anything."""
    (tmp_path / "loop.txt").write_text("alpha\n-r loop.txt\n")
    (tmp_path / "binary.txt").write_bytes(b"alpha\n\x00\x01\x02")
    (tmp_path / "latin.txt").write_bytes("alpha\n# für\n".encode("latin-1"))
    (tmp_path / "folder").mkdir()
    store, told = make(tmp_path, "uv"), Told()
    with pytest.raises(EnvironmentFailedError, match=words) as caught:
        store.lock(Wanted(tuple(lines), None, tmp_path), told)
    assert caught.value.hint
    assert told == []


def test_ten_thousand_lines_are_read_and_the_one_that_is_wrong_is_named(
    tmp_path: Path, wheels: Path
) -> None:
    """Most say the same; the resolver's words are about what it could not find."""
    store = make(tmp_path, "uv")
    lines = ["alpha"] * 9_999
    assert store.lock(offline(wheels, *lines, "alpha>=1")).pins == {"alpha": "1.0"}
    with pytest.raises(EnvironmentFailedError, match="nosuchthing"):
        store.lock(offline(wheels, *lines, "nosuchthing"))


def test_what_came_from_a_folder_elsewhere_is_said(tmp_path: Path, tool: str) -> None:
    """The wheel of a project is on the machine of its lock; a store without it says so."""
    write_project(tmp_path / "mine", "mine", "1.0")
    lock = make(tmp_path, tool).lock(Wanted(("--no-index", "./mine"), None, tmp_path))
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other", tool)
    with pytest.raises(EnvironmentFailedError, match=r"mine-1\.0-\S+ is not here"):
        other.ensure(parse(lock.text))
    assert _left(other) == []


def test_a_repository_is_locked_at_its_commit(tmp_path: Path, tool: str) -> None:
    """A later commit makes another lock; the first needs the repository no more."""
    project = write_project(tmp_path / "mine", "mine", "1.0")
    _commit(project)
    wanted = Wanted(("--no-index", f"mine @ git+file://{project}"), None, tmp_path)
    store = make(tmp_path, tool)
    first = store.lock(wanted)
    (project / "mine.py").write_text("VERSION = 'later'\n")
    _commit(project)
    second = store.lock(wanted)
    assert versions(store.ensure(first).path, "mine") == {"mine": "1.0"}
    assert versions(store.ensure(second).path, "mine") == {"mine": "later"}
    assert str(tmp_path) not in first.text


def _commit(project: Path) -> None:
    git = ["git", "-C", str(project), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)


_BUILDING = """
import sys
from pathlib import Path
from servd.environments.lock import read
from servd.environments.store import Environments
lock = read(Path(sys.argv[2]))
Environments(Path(sys.argv[1])).ensure(lock, lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_ended_in_a_build_takes_all_builders_along(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Also those that a builder has put into a session of its own; the next look tidies up."""
    stalling = tmp_path / "uv"
    stalling.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo uv 9.9.9 && exit\n'
        'for last; do :; done; mkdir -p "$last/bin"\n'
        f"setsid sleep 4242.{os.getpid()} &\necho begun\nsleep 4242.{os.getpid()}\n"
    )
    stalling.chmod(0o755)
    lock = compose(["alpha==1.0"], own().version, wheels={})
    (tmp_path / "lock").write_text(lock.text)
    folder = tmp_path / "environments"
    command = [sys.executable, "-c", _BUILDING, str(folder), str(tmp_path / "lock")]
    environ = variables("uv", tmp_path / "home", SERVD_UV=str(stalling))
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            _await_sleepers(2)
            process.send_signal(number)
            process.wait(20)
        finally:
            process.kill()
    _await_sleepers(0)
    halves = make(tmp_path, "uv").tidy()
    assert len(halves) == (0 if number is signal.SIGINT else 1)
    assert _left(make(tmp_path, "uv")) == []


def _sleepers() -> list[psutil.Process]:
    words = f"4242.{os.getpid()}"
    running = psutil.process_iter(["cmdline"])
    return [each for each in running if words in (each.info["cmdline"] or [])]


def _await_sleepers(count: int) -> None:
    until_s = time.monotonic() + 30
    while len(found := _sleepers()) != count:
        assert time.monotonic() < until_s, found
        time.sleep(0.05)


def test_all_errors_of_it_have_a_code_that_programs_know(tmp_path: Path) -> None:
    """`environment_failed`, as a ServdError with status 422."""
    with pytest.raises(ServdError) as caught:
        make(tmp_path, "uv").lock(Wanted(("./gone",), None, tmp_path))
    assert (caught.value.code, caught.value.status) == ("environment_failed", 422)


def test_a_lock_is_what_its_text_says() -> None:
    """Two with one text are equal, whatever settings one has in memory."""
    lock = compose(["alpha==1.0"], own().version, options=["--no-index"], wheels={})
    assert parse(lock.text) == lock
    assert isinstance(lock, Lock)
    assert parse(lock.text).options == ("--no-index",)

"""Tests of the store of environments, with uv and with pip for real, from wheels made here."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from servd.datatypes import InputType, ModelVersion
from servd.environments.failures import EnvironmentFailedError
from servd.environments.interpreter import own
from servd.environments.listing import Listing
from servd.environments.lock import Wanted, parse
from servd.environments.store import UNUSED_S, Environments
from servd.errors import ConflictError, NotFoundError
from servd.system.identity import process_id
from tests.environments import TOOLS, Told, make, offline, versions
from tests.wheels import write_project, write_wheel


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> str:
    """Each of the tools."""
    return str(request.param)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder of wheels: two versions of `alpha`, and `beta`, which needs the older one."""
    folder = tmp_path / "wheels"
    write_wheel(folder, "alpha", "1.0")
    write_wheel(folder, "alpha", "2.0")
    write_wheel(folder, "beta", "0.1", needs=["alpha<2"])
    return folder


@pytest.fixture
def store(tool: str, tmp_path: Path) -> Environments:
    """An empty store."""
    return make(tmp_path, tool)


def test_what_is_wanted_is_resolved_locked_and_built(store: Environments, wheels: Path) -> None:
    """A lock has exact versions and hashes, its environment these packages and nothing of ours."""
    told = Told()
    lock = store.lock(offline(wheels, "beta"), told)
    assert lock.pins == {"alpha": "1.0", "beta": "0.1"}
    assert lock.text.count("--hash=sha256:") == 2
    assert lock.python == own().version
    assert store.find(lock) is None
    interpreter = store.ensure(lock, told)
    assert versions(interpreter.path, "alpha", "beta") == {"alpha": "1.0", "beta": "0.1"}
    assert not interpreter.has_module("msgspec")
    assert not interpreter.is_own
    assert store.find(lock) == interpreter
    assert "resolving 1 requirement" in told.text
    assert "building an environment of 2 packages" in told.text


def test_the_second_time_nothing_is_asked_and_nothing_built(
    store: Environments, wheels: Path, tmp_path: Path, tool: str
) -> None:
    """Another process that wants the same has the same lock and environment at once."""
    lock = store.lock(offline(wheels, "beta"))
    built = store.ensure(lock)
    for each in wheels.iterdir():
        each.unlink()
    told = Told()
    other = make(tmp_path, tool)
    again = other.lock(offline(wheels, "beta"), told)
    assert again == lock
    assert other.ensure(again, told) == built
    assert told == []


def test_another_order_of_time_gives_the_same_lock(
    store: Environments, wheels: Path, tmp_path: Path, tool: str
) -> None:
    """What two stores lock of the same wheels is the same text, so bundles have one digest."""
    other = make(tmp_path / "wheels", tool)
    assert store.lock(offline(wheels, "beta")).text == other.lock(offline(wheels, "beta")).text


def test_a_lock_that_lies_in_a_bundle_builds_the_same_elsewhere(
    store: Environments, wheels: Path, tmp_path: Path, tool: str
) -> None:
    """A store that has never seen the requirements builds the environment of the lock's text."""
    text = store.lock(offline(wheels, "alpha", "beta")).text
    (tmp_path / "elsewhere").mkdir()
    other = make(tmp_path / "elsewhere", tool)
    interpreter = other.ensure(parse(text))
    assert versions(interpreter.path, "alpha") == {"alpha": "1.0"}


def test_requirements_that_differ_have_environments_of_their_own(
    store: Environments, wheels: Path
) -> None:
    """Two versions of a package are two environments, each with its own."""
    found = [store.ensure(store.lock(offline(wheels, f"alpha=={each}"))) for each in ("1.0", "2.0")]
    assert [versions(each.path, "alpha")["alpha"] for each in found] == ["1.0", "2.0"]
    assert len(store.list()) == 2


def test_many_at_once_build_each_environment_once(wheels: Path, tmp_path: Path, tool: str) -> None:
    """20 threads that want 3 things get 3 environments, each built by one of them."""
    wanted = [offline(wheels, each) for each in ("alpha==1.0", "alpha==2.0", "beta")]
    told = Told()
    failures: list[BaseException] = []

    def deploy(number: int) -> None:
        try:
            store = make(tmp_path, tool)
            store.ensure(store.lock(wanted[number % 3], told), told)
        except BaseException as error:  # noqa: BLE001 - it is told below
            failures.append(error)

    threads = [threading.Thread(target=deploy, args=(number,)) for number in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    assert failures == []
    assert told.count_of("building an environment") == 3
    assert told.count_of("resolving") == 3
    assert len(make(tmp_path, tool).list()) == 3


def test_a_package_that_is_nowhere_is_told_in_the_resolvers_words(
    store: Environments, wheels: Path
) -> None:
    """The error names what was not found, where all of it is, and leaves nothing behind."""
    with pytest.raises(EnvironmentFailedError) as caught:
        store.lock(offline(wheels, "nosuchthing>=3"))
    assert "the requirements do not resolve" in caught.value.message
    assert "nosuchthing" in caught.value.message
    log = Path(caught.value.hint.rpartition("is in ")[2])
    assert "nosuchthing" in log.read_text()
    assert store.list() == []
    assert not list((store.folder / "locks").glob("*"))


def test_versions_that_contradict_each_other_are_named(store: Environments, wheels: Path) -> None:
    """A conflict is told with both of its sides and a hint to loosen one."""
    with pytest.raises(EnvironmentFailedError) as caught:
        store.lock(offline(wheels, "alpha==2.0", "beta==0.1"))
    assert "loosen" in caught.value.hint
    assert "alpha" in caught.value.message + caught.value.traceback


def test_a_package_that_does_not_build_is_told_in_its_own_last_words(
    store: Environments, tmp_path: Path
) -> None:
    """What the package's own build raised is in the error, and nothing is left."""
    project = write_project(tmp_path / "broken", "broken", "1.0", before="raise OSError('no luck')")
    with pytest.raises(EnvironmentFailedError) as caught:
        store.lock(Wanted((f"-e {project}",), None, tmp_path))
    assert "no luck" in caught.value.traceback
    assert str(project) in caught.value.message
    assert store.list() == []


def test_a_folder_is_locked_with_what_it_holds_now(store: Environments, tmp_path: Path) -> None:
    """A project is taken as it is: a change makes another lock, and the old one keeps its files."""
    project = write_project(tmp_path / "mine", "mine", "1.0")
    wanted = Wanted(("--no-index", "-e ./mine"), None, tmp_path)
    first = store.lock(wanted)
    assert store.lock(wanted) == first
    (project / "mine.py").write_text("VERSION = 'changed'\n")
    second = store.lock(wanted)
    assert second.digest != first.digest
    assert versions(store.ensure(first).path, "mine") == {"mine": "1.0"}
    assert versions(store.ensure(second).path, "mine") == {"mine": "changed"}
    assert str(tmp_path) not in first.text


def test_a_wheel_by_its_path_is_kept_when_the_file_goes(
    store: Environments, wheels: Path, tmp_path: Path
) -> None:
    """The lock of a file does not need the file any more."""
    lock = store.lock(Wanted(("--no-index", "./wheels/alpha-2.0-py3-none-any.whl"), None, tmp_path))
    for each in wheels.iterdir():
        each.unlink()
    assert versions(store.ensure(lock).path, "alpha") == {"alpha": "2.0"}


def test_files_of_requirements_and_constraints_are_followed(
    store: Environments, wheels: Path, tmp_path: Path
) -> None:
    """-r and -c, continued lines, comments and markers mean what they mean to pip."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text(
        "alpha \\\n  >=1.0  # any\n-c limits.txt\nbeta; python_version < '3'\n"
    )
    (tmp_path / "more" / "limits.txt").write_text("alpha<2\n")
    lock = store.lock(offline(wheels, "-r more/base.txt"))
    assert lock.pins == {"alpha": "1.0"}


def test_a_hash_that_is_pinned_is_held_to(store: Environments, wheels: Path) -> None:
    """A file with another hash than the requirement's is refused."""
    with pytest.raises(EnvironmentFailedError) as caught:
        store.ensure(store.lock(offline(wheels, f"alpha==1.0 --hash=sha256:{'0' * 64}")))
    assert "hash" in caught.value.hint


def test_no_requirements_are_an_environment_with_nothing(store: Environments) -> None:
    """`--env new` without any requirement is an empty environment."""
    interpreter = store.ensure(store.lock(Wanted((), None, Path("/"))))
    assert not interpreter.has_module("pip")
    assert interpreter.version == own().version


def test_an_environment_that_was_deleted_or_damaged_is_built_anew(
    store: Environments, wheels: Path
) -> None:
    """What is gone, and what has lost its Python or a package, is not taken for whole."""
    lock = store.lock(offline(wheels, "beta"))
    folder = store.ensure(lock).prefix
    (folder / "bin" / "python").unlink()
    assert store.find(lock) is None
    assert store.ensure(lock).prefix == folder
    site = next(folder.glob("lib/python*/site-packages"))
    next(site.glob("alpha-*.dist-info/RECORD")).unlink()
    next(site.glob("alpha-*.dist-info")).rename(site / "gone")
    assert store.find(lock) is None
    assert versions(store.ensure(lock).path, "alpha") == {"alpha": "1.0"}


def test_one_that_is_used_is_not_removed(store: Environments, wheels: Path) -> None:
    """A deployment keeps its environment from rm and prune until it lets go."""
    lock = store.lock(offline(wheels, "alpha"))
    with store.using(lock):
        key = store.list()[0].key
        assert store.prune(()) == []
        with pytest.raises(ConflictError, match="used by a deployment"):
            store.remove(key)
    assert store.prune({lock.digest}) == []
    assert [each.key for each in store.prune(())] == [key]
    assert store.list() == []
    with pytest.raises(NotFoundError, match="there is no environment"):
        store.named(key)


def test_what_is_removed_is_resolved_anew(store: Environments, wheels: Path) -> None:
    """Removing an environment forgets its lock: a newer version is found the next time."""
    wanted = offline(wheels, "alpha")
    with store.using(store.lock(wanted)):
        pass
    write_wheel(wheels, "alpha", "3.0")
    assert store.lock(wanted).pins == {"alpha": "2.0"}
    store.remove(store.list()[0].key)
    assert store.lock(wanted).pins == {"alpha": "3.0"}


def test_what_nobody_has_wanted_for_long_goes_by_itself(
    store: Environments, wheels: Path, tmp_path: Path
) -> None:
    """A daemon removes what no version has used for a week, and nothing that one uses."""
    bundle = tmp_path / "bundles" / "b"
    bundle.mkdir(parents=True)
    used, unused = (store.lock(offline(wheels, f"alpha=={each}")) for each in ("1.0", "2.0"))
    (bundle / "environment.lock").write_text(used.text)
    for lock in (used, unused):
        with store.using(lock):
            pass
    listing = Listing(store, tmp_path / "bundles")
    version = ModelVersion(model="m", version="1", input_type=InputType.DOUBLES, bundle="b")
    assert listing.tend([version]) == []
    for each in store.list():
        long_ago_s = each.used_s - UNUSED_S - 60
        os.utime(each.folder / "environment.json", (long_ago_s, long_ago_s))
    [removed] = listing.tend([version])
    assert removed.packages == {"alpha": "2.0"}
    [left] = listing.views([version])
    assert left.used_by == ("m:1",)


def test_scratch_of_a_killed_process_goes_also_before_anybody_has_collected_it(
    store: Environments,
) -> None:
    """A zombie writes nothing any more."""
    with subprocess.Popen(["sleep", "600"]) as process:
        started = (process_id(process.pid) or "").rpartition(":")[2]
        left = store.folder / "tools" / "scratch" / f"{process.pid}.{started}.abcd"
        left.mkdir(parents=True)
        store.tidy()
        assert left.exists()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        store.tidy()
        assert not left.exists()


def test_half_folders_and_scratch_of_the_killed_are_removed(
    store: Environments, wheels: Path
) -> None:
    """Tidying leaves what is whole, and nothing of what is not."""
    lock = store.lock(offline(wheels, "alpha"))
    store.ensure(lock)
    half = store.folder / "built" / "0123456789abcdef"
    (half / "bin").mkdir(parents=True)
    left = store.folder / "tools" / "scratch" / "999999999.1.abcd"
    left.mkdir(parents=True)
    assert store.tidy() == ["0123456789abcdef"]
    assert not half.exists()
    assert not left.exists()
    assert store.find(lock) is not None

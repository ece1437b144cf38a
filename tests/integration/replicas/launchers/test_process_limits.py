"""How a process is kept to its limits: by its group where that can be limited, by itself else."""

import os
import resource
import subprocess
from collections.abc import Iterator

import pytest

from servd.replicas.launchers import cgroups
from servd.replicas.launchers.cgroups import OWN, Group, new_group, why_unlimited
from servd.replicas.launchers.process_limits import ProcessLimits
from tests.replicas import version_of

MEMORY = 256 * 2**20


@pytest.fixture
def process() -> Iterator[subprocess.Popen]:
    """Yield a process that waits."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        yield sleeper
        sleeper.kill()


def _group(folder, **files):
    folder.mkdir(parents=True)
    for name, text in ({"memory_max": "max", "cpu_max": "max 100000"} | files).items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return Group(folder)


def test_a_group_keeps_what_is_in_it_to_its_limits(tmp_path, process):
    """Memory without swap, and processor time in shares of a tenth of a second."""
    group = _group(tmp_path / "g")
    kept = ProcessLimits(lambda _names: "").keep(
        process.pid, version_of("-1", memory_bytes=MEMORY, cpus=1.5), group
    )
    assert kept.words == ("memory 256 MiB (control group)", "1.5 processors (control group)")
    assert (group.folder / "memory.max").read_text().startswith(str(MEMORY))
    assert (group.folder / "cpu.max").read_text().startswith("150000 100000")
    assert len(os.sched_getaffinity(process.pid)) == len(os.sched_getaffinity(0))
    assert resource.prlimit(process.pid, resource.RLIMIT_DATA)[0] != MEMORY


def test_without_a_group_the_kernel_refuses_it_more_memory(process):
    """And it is said why there is none; its processors are its affinity, whole ones."""
    limits = ProcessLimits(lambda _names: "")
    kept = limits.keep(process.pid, version_of("-1", memory_bytes=MEMORY, cpus=0.5), None)
    assert kept.has_memory_limit
    assert kept.words[0] == "memory 256 MiB for each of its processes (RLIMIT_DATA)"
    assert kept.words[1].startswith("0.5 processors, rounded up to 1 (affinity: ")
    assert kept.words[2] == "no control group: none can be made"
    assert resource.prlimit(process.pid, resource.RLIMIT_DATA) == (MEMORY, MEMORY)
    assert os.sched_getaffinity(process.pid) == kept.processors
    assert len(kept.processors) == 1


def test_a_group_that_cannot_be_limited_is_as_none(tmp_path, process):
    """The reason is told, whichever of both limits it is."""
    group = Group(tmp_path)  # which has no files of the kernel's
    kept = ProcessLimits(lambda names: f"no {'+'.join(names)}").keep(
        process.pid, version_of("-1", memory_bytes=MEMORY), group
    )
    assert kept.words[1:] == ("no control group: no memory",)
    kept = ProcessLimits(lambda _names: "").keep(
        process.pid, version_of("-1", memory_bytes=MEMORY), group
    )
    assert kept.words[1:] == ("no control group: the kernel refused it",)
    assert not list(tmp_path.iterdir())


def test_nothing_is_said_where_nothing_was_asked_for(process):
    """A version without limits is as it was."""
    assert ProcessLimits().keep(process.pid, version_of("-1"), None).words == ()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor")
def test_processors_are_given_in_turn_and_given_back(process):
    """A process that has ended has none any more."""
    limits = ProcessLimits(lambda _names: "")
    one = version_of("-1", cpus=1.0)
    first, second = (limits.keep(process.pid, one, None) for _ in range(2))
    assert first.processors != second.processors
    limits.release(second)
    assert limits.keep(process.pid, one, None).processors == second.processors


def test_a_group_says_whether_its_memory_ran_out(tmp_path):
    """The kernel counts what it has killed in it."""
    assert not Group(tmp_path).has_run_out()
    (tmp_path / "memory.events").write_text("low 0\nmax 3\noom 1\noom_kill 0\n")
    assert not Group(tmp_path).has_run_out()
    (tmp_path / "memory.events").write_text("low 0\noom_kill 1\n")
    assert Group(tmp_path).has_run_out()


@pytest.fixture
def base(tmp_path, monkeypatch):
    """Return the folder that stands for this process' own group."""
    monkeypatch.setattr(cgroups, "group_of", lambda _pid: tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return tmp_path


def test_controllers_are_switched_on_for_the_groups_below(base):
    """Those that are wanted, once."""
    assert why_unlimited(["memory", "cpu"]) == ""
    assert (base / "cgroup.subtree_control").read_text() == "+cpu +memory"
    (base / "cgroup.subtree_control").write_text("cpu memory")
    assert why_unlimited(["memory"]) == ""
    assert (base / "cgroup.subtree_control").read_text() == "cpu memory"


def test_controllers_that_were_not_given_are_named(base):
    """As where the unified hierarchy has none, or a service is not delegated any."""
    (base / "cgroup.controllers").write_text("pids hugetlb")
    assert why_unlimited(["memory"]).endswith("was not given the controller memory")
    assert why_unlimited(["memory", "cpu"]).endswith("the controllers cpu and memory")


def test_a_group_of_others_is_left_alone(base):
    """Where a shell is in it too, its processes are not moved about."""
    control = base / "cgroup.subtree_control"
    (base / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    control.unlink()
    control.mkdir()  # it can be neither read nor written
    assert "is not servd's to change" in why_unlimited(["memory"])
    assert not (base / OWN).exists()


def test_replicas_have_their_groups_beside_the_daemons_own(base, monkeypatch):
    """Once it has moved into one: a group whose children are limited has no processes."""
    (base / OWN).mkdir()
    monkeypatch.setattr(cgroups, "group_of", lambda _pid: base / OWN)
    group = new_group("x")
    assert group.folder.parent == base
    assert group.remove()

"""Control groups of replicas: what is left of them goes, what is in use stays."""

import subprocess

from servd.clock import wall_s
from servd.replicas.launchers import cgroups
from servd.replicas.launchers.cgroups import PREFIX, Group, group_of, new_group, sweep


def test_empty_groups_that_are_not_young_are_removed(tmp_path):
    """One in use and those of others stay; a young one may be about to be used."""
    used, empty, foreign = (
        tmp_path / name for name in (f"{PREFIX}used", f"{PREFIX}empty", "foreign")
    )
    for folder in (used, empty, foreign):
        folder.mkdir()
    (used / "below").mkdir()  # it cannot be removed, as a group with a process in it
    sweep(tmp_path, wall_s())
    assert empty.exists()
    sweep(tmp_path, wall_s() + 3600)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["foreign", used.name]


def test_a_group_that_cannot_be_made_is_none(tmp_path, monkeypatch):
    """Without the hierarchy, and where this process may not write in it."""
    monkeypatch.setattr(cgroups, "group_of", lambda _pid: None)
    assert new_group("x") is None
    monkeypatch.setattr(cgroups, "group_of", lambda _pid: tmp_path / "nowhere")
    assert new_group("x") is None
    assert group_of(2**22 + 1) is None


def test_a_group_ends_what_is_in_it_also_without_the_kernels_help(tmp_path):
    """Before Linux 5.14 there is no cgroup.kill: each process is killed."""
    sleeper = subprocess.Popen(["sleep", "60"])
    group = Group(tmp_path / "none")
    group.end()
    assert group.remove()
    group = Group(tmp_path)
    (tmp_path / "cgroup.kill").mkdir()  # it cannot be written
    (tmp_path / "cgroup.procs").write_text(f"{sleeper.pid}\n{2**22 + 1}\n")
    group.end()
    assert sleeper.wait(10) == -9
    assert not group.remove()

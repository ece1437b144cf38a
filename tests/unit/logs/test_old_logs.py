"""Logs go with what they are of, and not before."""

import os
import time

import pytest

from servd.datatypes import VersionId
from servd.logs.old_logs import KEEP_S, remove_logs, sweep_logs

NOW_S = time.time()


@pytest.fixture
def logs(tmp_path):
    """Return a function that makes a log of some age, and the folder of all."""

    def make(model: str, name: str, age_s: float = 0.0):
        path = tmp_path / model / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        for each in (path, path.parent):
            os.utime(each, (NOW_S - age_s, NOW_S - age_s))
        return path

    return make, tmp_path


def test_a_version_takes_its_logs_with_it(logs):
    """Its own: with their copies, of all replicas, and not those of a version named alike."""
    make, folder = logs
    gone = [make("m", name) for name in ("1.0.log", "1.0.log.1", "1.12.log")]
    kept = [make("m", name) for name in ("1.0.0.log", "11.0.log", "notes.txt")]
    remove_logs(folder, VersionId("m", "1"))
    assert [path.exists() for path in gone + kept] == [False] * 3 + [True] * 3
    make("other", "1.0.log")
    remove_logs(folder, VersionId("other", "1"))
    assert not (folder / "other").exists()
    remove_logs(folder, VersionId("never", "1"))


def test_what_never_went_live_is_kept_for_a_week(logs):
    """It says why; what is registered is kept as long as it is, however quiet."""
    make, folder = logs
    old = KEEP_S + 1
    quiet, failed = make("m", "1.0.log", old), make("m", "2.0.log", old)
    recent, alone = make("m", "3.0.log", old - 2), make("gone", "1.0.log.3", old)
    assert sweep_logs(folder, {VersionId("m", "1")}, NOW_S) == 2
    found = [path.exists() for path in (quiet, recent, failed, alone)]
    assert found == [True, True, False, False]
    os.utime(folder / "gone", (NOW_S - old, NOW_S - old))
    sweep_logs(folder, set(), NOW_S)
    assert not (folder / "gone").exists()
    assert sweep_logs(folder / "none", set(), NOW_S) == 0

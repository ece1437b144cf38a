"""The trash on a real file system, with a clock that is moved."""

import shutil
from types import SimpleNamespace

import pytest

from servd.deploying import trash
from servd.deploying.trash import KEEP_S, Trash


@pytest.fixture
def place(tmp_path):
    """Return a trash whose clock is `now_s`, and a maker of folders beside it."""
    found = SimpleNamespace(now_s=1e9, folder=tmp_path / "trash")
    found.trash = Trash(found.folder, lambda: found.now_s)

    def make(name):
        path = tmp_path / "kept" / name
        path.mkdir(parents=True)
        (path / "file").write_text(name)
        return path

    found.make = make
    found.names = lambda: sorted(path.name for path in found.folder.iterdir())
    return found


def test_what_is_thrown_away_is_deleted_after_a_day(place):
    """And not before; since it was thrown away, not since it was made."""
    first, second = place.make("first"), place.make("second")
    place.trash.take(first)
    place.now_s += KEEP_S / 2
    place.trash.take(second)
    place.now_s += KEEP_S / 2 - 1
    place.trash.tidy()
    assert place.names() == ["first", "second"]
    place.now_s += 1
    place.trash.tidy()
    assert place.names() == ["second"]
    assert not place.trash.give_back(first)
    assert place.trash.give_back(second)
    assert (second / "file").read_text() == "second"


def test_the_same_again_replaces_what_lies_there(place):
    """Then the day begins anew."""
    place.trash.take(place.make("one"))
    place.now_s += KEEP_S - 1
    place.trash.take(place.make("one"))
    place.now_s += KEEP_S - 1
    place.trash.tidy()
    assert place.names() == ["one"]


def test_a_disk_that_fills_up_keeps_less(place, monkeypatch):
    """The oldest goes first, until a tenth of the disk is free."""
    for name in ("first", "second", "third"):
        place.trash.take(place.make(name))
        place.now_s += 1
    total = 100
    free = {3: 8, 2: 9, 1: 10}
    usage = SimpleNamespace(total=total, used=0)
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda _: SimpleNamespace(**vars(usage), free=free[len(place.names())]),
    )
    place.trash.tidy()
    assert place.names() == ["third"]


def test_emptying_says_whether_there_was_anything(place):
    """An upload that finds the disk full tries again only then."""
    assert not place.trash.empty()
    place.trash.take(place.make("one"))
    assert place.trash.empty()
    assert place.names() == []


def test_a_deletion_that_was_cut_off_is_finished(place):
    """What a kill left half deleted is never given back."""
    (place.folder / f"{trash._GOING}1").mkdir(parents=True)
    place.trash.tidy()
    assert place.names() == []


def test_what_cannot_be_thrown_away_stays(place, tmp_path, caplog):
    """It is said, and nothing else fails."""
    (tmp_path / "trash").write_text("a file in the way")
    path = place.make("one")
    place.trash.take(path)
    assert (path / "file").exists()
    assert "cannot be thrown away" in caplog.text

"""A replica's own copy of its bundle, on a real file system."""

import pytest

from model_runtime import workspace
from model_runtime.bundle import digest_of

SMALL, LARGE = 10, workspace.MAX_FILE_BYTES + 1


@pytest.fixture
def bundle(tmp_path):
    """Return a bundle with code, a folder, and a file that is not copied."""
    folder = tmp_path / "bundle"
    (folder / "files" / "sub").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "files" / "code.py").write_text("x = 1\n")
    (folder / "files" / "sub" / "large.bin").write_bytes(b"x" * LARGE)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o400)
    return folder


def test_what_a_model_writes_stays_in_its_copy(bundle, tmp_path):
    """New files, changed ones, removed ones; two replicas do not meet either."""
    before = digest_of(bundle)
    one, two = (workspace.make(bundle, tmp_path) for _ in range(2))
    assert one != two
    (one / "files" / "new.txt").write_text("new")
    (one / "files" / "sub" / "cache").mkdir()
    with (one / "files" / "code.py").open("a") as code:
        code.write("x = 2\n")
    (one / "files" / "sub" / "large.bin").unlink()
    assert digest_of(bundle) == before
    assert (two / "files" / "code.py").read_text() == "x = 1\n"
    assert (two / "files" / "sub" / "large.bin").stat().st_size == LARGE


def test_large_files_are_not_copied(bundle, tmp_path):
    """They are linked to, or share their blocks: no start costs what the model weighs."""
    large = workspace.make(bundle, tmp_path) / "files" / "sub" / "large.bin"
    assert large.is_symlink() or workspace._share(
        bundle / "files/sub/large.bin", tmp_path / "probe"
    )
    assert not (tmp_path / "probe").exists() or not large.is_symlink()


def test_many_small_files_are_copied_up_to_a_limit(tmp_path, monkeypatch):
    """The smallest first, so that code is."""
    monkeypatch.setattr(workspace, "MAX_TOTAL_BYTES", 3 * SMALL)
    monkeypatch.setattr(workspace, "_share", lambda *_: False)
    folder = tmp_path / "bundle"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}").write_bytes(b"x" * (SMALL + number))
    place = workspace.make(folder, tmp_path)
    assert [(place / f"{n}").is_symlink() for n in range(5)] == [False, False, True, True, True]
    assert all((place / f"{n}").read_bytes() == b"x" * (SMALL + n) for n in range(5))


def test_without_room_the_model_runs_on_its_bundle(bundle, tmp_path, capsys):
    """And says so, with the folder."""
    assert workspace.make(bundle, tmp_path / "gone") == bundle
    assert f"can be made in {tmp_path / 'gone'}" in capsys.readouterr().err


def test_a_half_made_copy_is_not_used(bundle, tmp_path, monkeypatch):
    """A disk that fills up in the middle leaves the bundle."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspace.shutil, "copyfile", full)
    assert workspace.make(bundle, tmp_path) == bundle
    assert list(tmp_path.glob("servd-model-*")) == []

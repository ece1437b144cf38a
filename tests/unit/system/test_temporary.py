"""Temporary folders where there is no room for them."""

import errno
import tempfile

import pytest

from servd.system.temporary import NoRoomError, temporary_folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Have temporary folders in a folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_gone_afterwards(place):
    """With what was written into it."""
    with temporary_folder("image") as folder:
        assert folder.parent == place
        (folder / "a").write_text("x")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("is_named", [True, False])
def test_what_does_not_fit_names_the_folder_and_the_variable(place, code, is_named):
    """One line, and nothing is left."""
    with (
        pytest.raises(NoRoomError, match=str(place)) as caught,
        temporary_folder("image") as folder,
    ):
        raise OSError(code, "no", *([str(folder / "a")] if is_named else []))
    assert "TMPDIR" in caught.value.hint
    assert list(place.iterdir()) == []


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("code", "name"), [(errno.EACCES, "/elsewhere/model.pkl"), (errno.ENOENT, None)]
)
def test_other_failures_are_their_own(code, name):
    """A source that may not be read is no fault of the temporary folder."""
    with pytest.raises(OSError, match="no") as caught, temporary_folder("image"):
        raise OSError(code, "no", *([name] if name else []))
    assert not isinstance(caught.value, NoRoomError)


def test_a_folder_that_is_not_there_is_named(place):
    """TMPDIR may name one that cannot be written."""
    place.chmod(0o700)
    (place / "file").touch()
    tempfile.tempdir = str(place / "file")
    with pytest.raises(OSError, match="file"), temporary_folder("image"):
        pass

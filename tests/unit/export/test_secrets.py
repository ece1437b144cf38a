"""The keys of exports: made once, kept, closed to others."""

import stat

import pytest

from servd.config import Config
from servd.errors import StoreError
from servd.export.secrets import KEY_FILES, export_secrets


def test_keys_are_made_once(tmp_path):
    """A second export has the keys of the first; nobody else can read them."""
    config = Config(data_dir=tmp_path)
    first = export_secrets(config)
    assert set(first.curve) == set(KEY_FILES)
    assert len(set(first.curve.values())) == len(KEY_FILES)
    assert export_secrets(config) == first
    (folder,) = (tmp_path / "k8s").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_keys_are_not_in_messages(tmp_path):
    """What is printed of secrets holds none."""
    found = export_secrets(Config(data_dir=tmp_path, token="not-a-token"))
    assert "not-a-token" not in repr(found)
    assert found.curve["replica.secret"].strip() not in repr(found)


def test_a_token_is_needed_where_it_is_here(tmp_path):
    """A daemon with a token exports it, unless anybody may query."""
    assert export_secrets(Config(data_dir=tmp_path)).token is None
    assert export_secrets(Config(data_dir=tmp_path, token="t")).token == "t"
    public = Config(data_dir=tmp_path, token="t", public_queries=True)
    assert export_secrets(public).token is None


def test_a_lost_key_is_named(tmp_path):
    """A folder without one of the keys is not filled up in silence: all pods would be replaced."""
    export_secrets(Config(data_dir=tmp_path))
    (tmp_path / "k8s" / "curve" / "replica.secret").unlink()
    with pytest.raises(StoreError, match="cannot be kept"):
        export_secrets(Config(data_dir=tmp_path))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """The error says where keys are kept."""
    (tmp_path / "k8s").touch()
    with pytest.raises(StoreError, match="k8s"):
        export_secrets(Config(data_dir=tmp_path))

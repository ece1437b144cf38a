"""The keys of exports: made once, kept, closed to others."""

import stat
from dataclasses import replace

import pytest

from model_runtime.tls import read_identity
from servd.config import Config
from servd.errors import StoreError
from servd.export.secrets import CERTIFICATE_FILES, KEY_FILES, export_secrets


def test_keys_are_made_once(tmp_path):
    """A second export has the keys of the first; nobody else can read them."""
    config = Config(data_dir=tmp_path)
    first = export_secrets(config)
    assert (set(first.tls), set(first.curve)) == (set(CERTIFICATE_FILES), set(KEY_FILES))
    assert len({*first.tls.values(), *first.curve.values()}) == 8
    assert export_secrets(config) == first
    folders = sorted((tmp_path / "k8s").iterdir())
    assert [folder.name for folder in folders] == ["curve", "tls"]
    for folder in folders:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    for role in ("replica", "frontend"):
        read_identity(tmp_path / "k8s" / "tls", role)


def test_keys_are_renewed_where_that_is_asked(tmp_path):
    """All of them are others then, and stay so; nothing is left of the old ones."""
    config = Config(data_dir=tmp_path)
    first = export_secrets(config)
    second = export_secrets(config, is_new=True)
    assert not {*first.tls.values(), *first.curve.values()} & {
        *second.tls.values(),
        *second.curve.values(),
    }
    assert export_secrets(config) == second
    assert sorted(path.name for path in (tmp_path / "k8s").iterdir()) == ["curve", "tls"]


def test_an_export_of_before_tls_gets_certificates(tmp_path):
    """A data directory that has keys of ZeroMQ only keeps them, and gets what it lacks."""
    config = Config(data_dir=tmp_path)
    first = export_secrets(config)
    for path in (tmp_path / "k8s" / "tls").iterdir():
        path.unlink()
    (tmp_path / "k8s" / "tls").rmdir()
    second = export_secrets(config)
    assert second.curve == first.curve
    assert replace(second, tls=first.tls) == first
    assert set(second.tls) == set(CERTIFICATE_FILES)


def test_keys_are_not_in_messages(tmp_path):
    """What is printed of secrets holds none."""
    found = export_secrets(Config(data_dir=tmp_path, token="not-a-token"))
    assert "not-a-token" not in repr(found)
    assert found.curve["replica.secret"].strip() not in repr(found)
    assert "PRIVATE" not in repr(found)


def test_a_token_is_needed_where_it_is_here(tmp_path):
    """A daemon with a token exports it, unless anybody may query."""
    assert export_secrets(Config(data_dir=tmp_path)).token is None
    assert export_secrets(Config(data_dir=tmp_path, token="t")).token == "t"
    public = Config(data_dir=tmp_path, token="t", public_queries=True)
    assert export_secrets(public).token is None


@pytest.mark.parametrize("file", ["curve/replica.secret", "tls/replica.key"])
def test_a_lost_key_is_named(tmp_path, file):
    """A folder without one of the keys is not filled up in silence: all pods would be replaced."""
    export_secrets(Config(data_dir=tmp_path))
    (tmp_path / "k8s" / file).unlink()
    with pytest.raises(StoreError, match="cannot be kept"):
        export_secrets(Config(data_dir=tmp_path))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """The error says where keys are kept."""
    (tmp_path / "k8s").touch()
    with pytest.raises(StoreError, match="k8s"):
        export_secrets(Config(data_dir=tmp_path))

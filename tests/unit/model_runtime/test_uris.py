"""The file behind a `file:` URI is the one that SQLite opens."""

import sqlite3

import pytest

from model_runtime.uris import path_of

URIS = {
    "file:data.db": "data.db",
    "file:data/a.db?mode=ro": "data/a.db",
    "file:data/a.db?mode=ro&cache=private#part": "data/a.db",
    "FILE:/x/a.db": "/x/a.db",
    "file:///x/a.db": "/x/a.db",
    "file://localhost/x/a.db": "/x/a.db",
    "file:a%20b%3f.db": "a b?.db",
    "file://elsewhere/x/a.db": None,
    "file::memory:?cache=shared": None,
    "file:any?mode=memory&cache=shared": None,
    "file:": None,
    "data.db": None,
    "files:a.db": None,
    "": None,
}


@pytest.mark.parametrize("uri", URIS)
def test_what_a_uri_names(uri):
    """A path, relative or not; nothing for what is in memory or no such URI."""
    assert path_of(uri) == URIS[uri]


@pytest.mark.parametrize("uri", ["file:a%20b.db", "file:{}/c.db?mode=rwc", "file://localhost{}/d"])
def test_it_is_what_sqlite_opens(tmp_path, monkeypatch, uri):
    """As asked of SQLite itself."""
    monkeypatch.chdir(tmp_path)
    uri = uri.format(tmp_path)
    connection = sqlite3.connect(uri, uri=True)
    connection.execute("create table t (n)")
    connection.close()
    (made,) = tmp_path.iterdir()
    assert (tmp_path / path_of(uri)) == made

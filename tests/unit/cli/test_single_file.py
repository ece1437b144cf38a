"""What the single file undoes of its own start."""

from servd.cli.single_file import restore


def test_the_users_environment_comes_back(tmp_path):
    """Their virtual environment, and the settings of other such files; nothing of this one's."""
    given = tmp_path / "environ"
    given.write_bytes(b"VIRTUAL_ENV=/users/.venv\0PEX_ROOT=/cache\0A=b=c\0PEX=/bin/servd\0")
    environ = {"VIRTUAL_ENV": "/cache/venvs/1", "PEX": "/bin/servd", "A": "b=c", "LC_CTYPE": "C"}
    restore(environ, given)
    assert environ == {
        "VIRTUAL_ENV": "/users/.venv",
        "PEX_ROOT": "/cache",
        "A": "b=c",
        "LC_CTYPE": "C",
    }


def test_who_has_no_environment_gets_none(tmp_path):
    """Also where the system does not say what was given."""
    given = tmp_path / "environ"
    environ = {"VIRTUAL_ENV": "/cache/venvs/1"}
    restore(environ, given)
    assert environ == {}
    given.write_bytes(b"A=b\0")
    environ = {"VIRTUAL_ENV": "/cache/venvs/1", "A": "b"}
    restore(environ, given)
    assert environ == {"A": "b"}

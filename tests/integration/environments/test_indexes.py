"""Tests of indexes as pip's settings name them, private ones too, with uv and with pip for real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servd.environments.failures import EnvironmentFailedError
from servd.environments.lock import Wanted, parse
from servd.environments.store import Environments
from tests.environments import TOOLS, Told, make, versions
from tests.package_index import PASSWORD, USER, serving
from tests.wheels import write_project, write_wheel


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> str:
    """Each of the tools."""
    return str(request.param)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """The address of a private index with `alpha`."""
    write_wheel(tmp_path / "served", "alpha", "1.0")
    write_wheel(tmp_path / "served", "alpha", "2.0")
    with serving(tmp_path / "served") as address:
        yield address


def _no_secret_in(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_name_and_a_password_in_a_line_are_used_and_written_nowhere(
    index: str, tool: str, tmp_path: Path
) -> None:
    """The lock has the index without them; nothing told, logged or kept has the password."""
    store, told = make(tmp_path, tool), Told()
    lines = (f"--index-url http://{USER}:{PASSWORD}@{index}", "alpha<2")
    lock = store.lock(Wanted(lines, None, tmp_path), told)
    assert f"--index-url=http://{index}" in lock.text
    assert versions(store.ensure(lock, told).path, "alpha") == {"alpha": "1.0"}
    assert PASSWORD not in told.text + repr(lock)
    _no_secret_in(tmp_path / "environments")
    with pytest.raises(EnvironmentFailedError) as caught:
        make(tmp_path / "environments", tool).ensure(parse(lock.text))
    error = caught.value
    assert "netrc" in error.hint
    assert PASSWORD not in error.message + error.hint + error.traceback


def test_variables_in_an_address_are_left_to_the_builder(
    index: str, tool: str, tmp_path: Path
) -> None:
    """${NAME} stays in the lock, so that it can be built again where the variable is set."""
    store = make(tmp_path, tool, INDEX_USER=USER, INDEX_PASSWORD=PASSWORD)
    lines = (f"--index-url http://${{INDEX_USER}}:${{INDEX_PASSWORD}}@{index}", "alpha")
    lock = store.lock(Wanted(lines, None, tmp_path))
    assert "${INDEX_USER}:${INDEX_PASSWORD}@" in lock.text
    assert versions(store.ensure(parse(lock.text)).path, "alpha") == {"alpha": "2.0"}
    _no_secret_in(tmp_path / "environments")


@pytest.mark.parametrize("where", ["variable", "file"])
def test_pips_settings_say_which_index_is_asked(
    where: str, index: str, tool: str, tmp_path: Path
) -> None:
    """PIP_INDEX_URL and pip.conf count for uv as for pip, with constraints and passwords."""
    (tmp_path / "limits.txt").write_text("alpha<2\n")
    url = f"http://{USER}:{PASSWORD}@{index}"
    if where == "variable":
        more = {"PIP_INDEX_URL": url, "PIP_CONSTRAINT": str(tmp_path / "limits.txt")}
    else:
        file = tmp_path / "pip.conf"
        file.write_text(f"[global]\nindex-url = {url}\nconstraint = {tmp_path}/limits.txt\n")
        more = {"PIP_CONFIG_FILE": str(file)}
    store, told = make(tmp_path, tool, **more), Told()
    lock = store.lock(Wanted(("alpha",), None, tmp_path), told)
    assert lock.pins == {"alpha": "1.0"}
    store.ensure(parse(lock.text), told)
    assert PASSWORD not in told.text
    _no_secret_in(tmp_path / "environments")


def test_the_best_version_of_several_indexes_is_taken(tool: str, tmp_path: Path) -> None:
    """An extra index counts as much as the first, whichever has the newer version."""
    write_wheel(tmp_path / "one", "alpha", "1.0")
    write_wheel(tmp_path / "two", "alpha", "2.0")
    with (
        serving(tmp_path / "one", is_private=False) as one,
        serving(tmp_path / "two", is_private=False) as two,
    ):
        more = {"PIP_INDEX_URL": f"http://{one}", "PIP_EXTRA_INDEX_URL": f"http://{two}"}
        store: Environments = make(tmp_path, tool, **more)
        assert store.lock(Wanted(("alpha",), None, tmp_path)).pins == {"alpha": "2.0"}


def test_an_index_that_does_not_answer_is_said(tool: str, tmp_path: Path) -> None:
    """The error says that it is the network, and what to do without one."""
    more = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "UV_HTTP_RETRIES": "0",
        "PIP_RETRIES": "1",
    }
    with pytest.raises(EnvironmentFailedError) as caught:
        make(tmp_path, tool, **more).lock(Wanted(("alpha",), None, tmp_path))
    assert "cannot be reached" in caught.value.hint
    assert "--find-links" in caught.value.hint


@pytest.mark.parametrize("who", [f"{USER}:{PASSWORD}", "${INDEX_USER}:${INDEX_PASSWORD}"])
def test_no_command_line_has_the_password_while_a_project_is_built(
    who: str, index: str, tool: str, tmp_path: Path
) -> None:
    """Everybody on the machine may read them; the build reads those of all that has started it."""
    seen = tmp_path / "seen"
    before = f"""
    for each in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found = {PASSWORD!r}.encode() in each.read_bytes()
        except OSError:
            continue
        with open({str(seen)!r}, "a") as file:
            file.write(f"{{each}} has it\\n" if found else "")
    """
    project = write_project(tmp_path / "project", "gamma", "3.0", before=before.strip())
    more = {"INDEX_USER": USER, "INDEX_PASSWORD": PASSWORD}
    lines = (f"--index-url http://{who}@{index}", ".")
    lock = make(tmp_path, tool, **more).lock(Wanted(lines, None, project))
    assert set(lock.pins) == {"gamma"}
    assert seen.read_text() == ""


def test_pip_that_may_ask_no_index_has_none_asked(index: str, tool: str, tmp_path: Path) -> None:
    """PIP_NO_INDEX and several folders of wheels count for uv as for pip."""
    write_wheel(tmp_path / "one", "beta", "1.0")
    write_wheel(tmp_path / "two", "gamma", "1.0")
    more = {
        "PIP_NO_INDEX": "1",
        "PIP_INDEX_URL": f"http://{USER}:{PASSWORD}@{index}",
        "PIP_FIND_LINKS": f"{tmp_path}/one {tmp_path}/two",
    }
    store = make(tmp_path, tool, **more)
    lock = store.lock(Wanted(("beta", "gamma"), None, tmp_path))
    assert versions(store.ensure(lock).path, "beta", "gamma") == {"beta": "1.0", "gamma": "1.0"}
    with pytest.raises(EnvironmentFailedError, match="do not resolve"):
        store.lock(Wanted(("alpha",), None, tmp_path))

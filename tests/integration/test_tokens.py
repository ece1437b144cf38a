"""The token of a running daemon and that of a command: the same, or the command says so."""

import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.daemon import CLI_TIMEOUT_S, Daemon


def servd(daemon: Daemon, token: str | None, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command with SERVD_TOKEN set so."""
    env = {name: value for name, value in daemon.env.items() if name != "SERVD_TOKEN"}
    return subprocess.run(
        [sys.executable, "-m", "servd", *args],
        env=env if token is None else env | {"SERVD_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=CLI_TIMEOUT_S,
        check=False,
    )


def status_of(url: str, token: str) -> int:
    """Return with which status a request that carries a token is answered."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    ("of_daemon", "given", "said"),
    [
        ("one", "two", "SERVD_TOKEN is not the daemon's token"),
        (None, "two", "SERVD_TOKEN is set here, and the daemon has no token"),
        ("one", "one", None),
        ("one", " one\n", None),
        ("one", None, None),
        (None, None, None),
    ],
)
def test_start_beside_a_daemon_with_another_token_says_so(
    idle_daemon: Daemon, of_daemon: str | None, given: str | None, said: str | None
) -> None:
    """Exit code 1 where the token that was asked for is not in force, and neither is shown."""
    assert servd(idle_daemon, of_daemon, "start").returncode == 0
    done = servd(idle_daemon, given, "start")
    if said is None:
        assert done.returncode == 0, done.stderr
        assert "already running" in done.stdout
    else:
        assert done.returncode == 1
        assert said in done.stderr
        assert "servd stop first" in done.stderr
        assert "one" not in done.stderr.replace("none", "")
        assert "two" not in done.stderr


def test_a_token_is_let_in_on_both_ports_whatever_surrounds_it(idle_daemon: Daemon) -> None:
    """A newline at the end, as files and secrets have it, locks nobody out."""
    assert servd(idle_daemon, "s3cret of mine\n", "start").returncode == 0
    for url in (f"{idle_daemon.admin_url}/api/v1/status", f"{idle_daemon.query_url}/metrics"):
        assert status_of(url, "s3cret of mine") == 200
        assert status_of(url, "s3cret") == 401
    done = servd(idle_daemon, "s3cret of mine\n", "status", "--admin", idle_daemon.admin_url)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("token", ["pässwört", "пароль", "a\nb", " ", os.fsdecode(b"\xff")])
@pytest.mark.parametrize("verb", ["start", "run"])
def test_a_token_that_no_header_carries_is_refused_at_the_start(
    idle_daemon: Daemon, token: str, verb: str
) -> None:
    """A daemon that nobody could talk to does not come up."""
    done = servd(idle_daemon, token, verb)
    assert done.returncode == 2
    assert done.stderr.startswith("error: SERVD_TOKEN: a token has letters, digits and signs")
    assert token.strip() == "" or token not in done.stderr
    assert idle_daemon.pid is None


@pytest.mark.parametrize(
    ("token", "hint"),
    [("two", "SERVD_TOKEN is not the daemon's token"), (None, "set SERVD_TOKEN to the daemon's")],
)
def test_a_command_that_is_refused_for_its_token_says_what_to_set(
    idle_daemon: Daemon, token: str | None, hint: str
) -> None:
    """In words of the command line, not of HTTP."""
    assert servd(idle_daemon, "one", "start").returncode == 0
    done = servd(idle_daemon, token, "ps", "--admin", idle_daemon.admin_url)
    assert done.returncode == 1
    assert f"hint:  {hint}" in done.stderr

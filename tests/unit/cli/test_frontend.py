"""`servd frontend`: what it refuses before it serves, and what it passes on."""

import json

import pytest
from click.testing import CliRunner

from servd.cli.main import cli
from servd.processes import cluster_frontend


def _run(*arguments, env=None):
    return CliRunner().invoke(cli, ["frontend", *arguments], env=env)


@pytest.fixture
def served(monkeypatch, data_dir):
    """Return a list of what would have been served."""
    del data_dir
    monkeypatch.delenv("SERVD_BIND", raising=False)
    made = []

    async def serve(*given):
        made.append(given)

    monkeypatch.setattr(cluster_frontend, "serve", serve)
    return made


def test_its_settings_come_from_flags_and_variables(served, tmp_path):
    """Other machines reach it unless told otherwise; a token guards it then."""
    arguments = ["--registry", str(tmp_path), "--port", "1338", "--drain-delay", "250ms"]
    result = _run(*arguments, "--curve", "keys", env={"SERVD_TOKEN": "t"})
    assert result.exit_code == 0, result.stderr
    config, settings = served[0]
    assert (config.bind, config.query_port, config.query_token) == ("0.0.0.0", 1338, "t")
    assert settings.registry == tmp_path
    assert settings.drain_delay_s == 0.25
    assert str(settings.curve) == "keys"
    assert _run("--registry", "r", env={"SERVD_BIND": "127.0.0.1"}).exit_code == 0
    config, settings = served[1]
    assert (config.bind, config.query_port, settings.drain_delay_s) == ("127.0.0.1", 1337, 5.0)
    assert _run("--registry", "r", "--public-queries").exit_code == 0
    assert served[2][0].query_token is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--registry"),
        (["--registry", "r"], "no token is set"),
        (["--registry", "r", "--port", "65536"], "--port"),
        (["--registry", "r", "--drain-delay", "soon"], "--drain-delay: 'soon' is not a duration"),
        (["--registry", "r", "--drain-delay", "-1s"], "--drain-delay must be zero or above"),
        (["--registry", "r", "--cache-size", "big"], "--cache-size"),
    ],
    ids=["registry", "token", "port", "delay", "negative", "size"],
)
def test_what_the_command_line_refuses(served, arguments, words):
    """The option is named; exit code 2."""
    result = _run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not served


def test_a_registry_that_cannot_be_read(data_dir):
    """Exit code 1, with the file's name; as JSON where asked."""
    result = _run("--json", "--registry", str(data_dir / "no"), "--public-queries")
    assert result.exit_code == 1
    error = json.loads(result.stderr)["error"]
    assert error["code"] == "bad_registry"
    assert str(data_dir / "no") in error["message"]

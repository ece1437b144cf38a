"""What a replica is told by its command line and its container's variables."""

import pytest

from model_runtime.__main__ import _options, _parser
from model_runtime.keys import read_replica_keys
from servd.carriers import certificates, curve

ARGUMENTS = ["--bundle=/b", "--model=m", "--version=1"]


def test_variables_say_what_the_command_line_leaves_out(tmp_path):
    """An image's program is fixed, its container's variables are not; a given option wins."""
    curve.write_keys(tmp_path)
    environ = {
        "SERVD_LISTEN": "tcp://0.0.0.0:7000",
        "SERVD_CURVE": str(tmp_path),
        "SERVD_REPLICA": "3",
        "SERVD_MAX_BATCH": "8",
        "SERVD_ORPHAN_TIMEOUT": "30",
    }
    given = _parser(environ).parse_args([*ARGUMENTS, "--max-batch=2"])
    assert (given.listen, given.replica, given.max_batch) == ("tcp://0.0.0.0:7000", 3, 2)
    assert given.orphan_timeout == 30.0
    assert given.curve == read_replica_keys(tmp_path)


def test_variables_say_what_it_is_deployed_as():
    """One image serves under any name; where the command line has one, that holds."""
    environ = {"SERVD_LISTEN": "x", "SERVD_MODEL_NAME": "iris", "SERVD_MODEL_VERSION": "7"}
    given = _parser(environ).parse_args(["--bundle=/b"])
    assert (given.model, given.version) == ("iris", "7")
    given = _parser(environ).parse_args(ARGUMENTS)
    assert (given.model, given.version) == ("m", "1")


def test_what_is_missing_or_wrong_is_named(tmp_path, capsys):
    """Without an address, or with a folder that holds no keys, it does not begin."""
    with pytest.raises(SystemExit, match=r"^2$"):
        _parser({}).parse_args(ARGUMENTS)
    assert "--listen" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"^2$"):
        _parser({}).parse_args([*ARGUMENTS, "--listen=x", f"--curve={tmp_path}"])
    assert "replica.secret cannot be read" in capsys.readouterr().err


def test_tls_and_its_certificates_go_together(tmp_path, monkeypatch, capsys):
    """An address that is to be secured is not listened at without, and nothing else with them."""
    certificates.write_certificates(tmp_path)

    def said(*arguments):
        monkeypatch.setattr("sys.argv", ["model_runtime", *ARGUMENTS, *arguments])
        with pytest.raises(SystemExit, match=r"^2$"):
            _options()
        return capsys.readouterr().err

    argv = ["model_runtime", *ARGUMENTS, "--listen=tls://127.0.0.1:0", f"--tls={tmp_path}"]
    monkeypatch.setattr("sys.argv", argv)
    assert _options().keys.is_server
    assert "needs --tls DIR: a certificate and a key" in said("--listen=tls://127.0.0.1:0")
    refusal = said("--listen=tcp://127.0.0.1:0", f"--tls={tmp_path}")
    assert "--tls is for --listen tls://HOST:PORT, not for tcp://127.0.0.1:0" in refusal
    (tmp_path / "frontend.crt").unlink()
    refusal = said("--listen=tls://127.0.0.1:0", f"--tls={tmp_path}")
    assert "frontend.crt cannot be read: No such file" in refusal


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("300s", 300), ("5m", 300), ("1h", 3600)]
)
def test_a_daemons_setting_in_the_environment_is_taken(text, seconds):
    """SERVD_PREDICT_TIMEOUT is the daemon's too, which writes times with their units."""
    given = _parser({"SERVD_LISTEN": "x", "SERVD_PREDICT_TIMEOUT": text}).parse_args(ARGUMENTS)
    assert given.predict_timeout == seconds

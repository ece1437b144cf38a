"""Where settings come from and what they may be."""

import json
import os
from pathlib import Path

import pytest

from servd.config import (
    _SETTINGS,
    Config,
    differing,
    is_loopback,
    load_config,
    settings_of,
)
from servd.errors import ConfigError
from servd.quantities import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100ms", 0.1), ("2s", 2.0), ("0.5s", 0.5), ("250us", 0.00025), ("1m", 60.0), (3, 3.0)],
)
def test_a_duration_is_a_number_with_a_unit(text, seconds):
    """Units are us, ms, s, m and h; a bare number is seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "ms", "1 fortnight", "1s2", "nan", None, True, "1e9s"])
def test_what_is_no_duration_is_refused(value):
    """The error shows how a duration looks."""
    with pytest.raises(ValueError, match="is not a duration such as 100ms"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "count"),
    [("32MiB", 32 * 1024**2), ("500kB", 500_000), ("1.5 GiB", 1610612736), (7, 7)],
)
def test_a_size_is_a_number_with_a_unit(text, count):
    """Decimal and binary units are told apart; a bare number is bytes."""
    assert parse_size(text) == count


@pytest.mark.parametrize("value", ["-1", "MiB", "3 apples", [], False])
def test_what_is_no_size_is_refused(value):
    """The error shows how a size looks."""
    with pytest.raises(ValueError, match="is not a size such as 32MiB"):
        parse_size(value)


def test_flags_win_over_variables_over_files_over_defaults(tmp_path):
    """Each setting comes from the first place that has it."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "servd.toml").write_text(
        "query-port = 3\nadmin_port = 3\ndrain = '3s'\ncarrier = 'ZMQ'\n"
    )
    (data / "servd.toml").write_text("drain = 4\ncache-size = '4MiB'\nadmin_port = 4\n")
    environ = {"SERVD_QUERY_PORT": "2", "SERVD_ADMIN_PORT": "2", "SERVD_DATA_DIR": "data"}
    config = load_config({"query_port": 1, "admin_port": None}, environ, tmp_path)
    assert (config.query_port, config.admin_port) == (1, 2)
    assert (config.drain_s, config.cache_bytes) == (3.0, 4 * 1024**2)
    assert config.data_dir == data
    assert (config.log_level, config.carrier) == ("info", "zmq")


def test_without_a_data_directory_the_platforms_is_used(tmp_path, monkeypatch):
    """The default lies in the user's own folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert load_config({}, {}, tmp_path).data_dir == tmp_path / "home" / "servd"


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ({"query_port": "70000"}, {}, "--query-port: '70000' is not a port"),
        ({}, {"SERVD_ADMIN_PORT": "abc"}, "SERVD_ADMIN_PORT: 'abc' is not a port"),
        ({"log_level": "loud"}, {}, "--log-level: 'loud' is not a log level"),
        ({"drain": "-1s"}, {}, "--drain: '-1s' is below zero"),
        ({}, {"SERVD_PUBLIC_QUERIES": "maybe"}, "SERVD_PUBLIC_QUERIES: 'maybe' is not true"),
        ({"bind": ""}, {}, "--bind: '' is not a text"),
        ({}, {"SERVD_CARRIER": "tcp"}, r"SERVD_CARRIER: 'tcp' is not a carrier \(auto, unix, zmq"),
        ({"query_port": 80, "admin_port": 80}, {}, "both 80"),
        ({"bind": "0.0.0.0"}, {}, "reachable from other machines"),
    ],
)
def test_a_wrong_value_names_its_place(tmp_path, flags, environ, message):
    """The message says which flag or variable to mend."""
    with pytest.raises(ConfigError, match=message):
        load_config(flags, {"SERVD_DATA_DIR": str(tmp_path), **environ}, tmp_path)


def test_a_wrong_key_of_the_file_names_the_nearest(tmp_path):
    """A misspelt key is not ignored."""
    (tmp_path / "servd.toml").write_text("querry_port = 1\n")
    with pytest.raises(ConfigError, match=r"servd\.toml: unknown setting") as caught:
        load_config({"data_dir": "d"}, {}, tmp_path)
    assert caught.value.hint == "did you mean query_port?"


def test_a_wrong_value_in_the_file_names_its_key(tmp_path):
    """The file alone would leave its reader to guess which line is meant."""
    (tmp_path / "servd.toml").write_text("query-port = 'x'\n")
    with pytest.raises(ConfigError, match=r"servd\.toml: query-port: 'x' is not a port"):
        load_config({"data_dir": "d"}, {}, tmp_path)


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    """The message names the file."""
    (tmp_path / "servd.toml").write_text("= 1")
    with pytest.raises(ConfigError, match=r"servd\.toml: "):
        load_config({"data_dir": "d"}, {}, tmp_path)


def test_sockets_of_a_long_path_move_to_tmp():
    """A unix socket's path is limited, so deep data directories keep theirs elsewhere."""
    assert Config(data_dir=Path("/srv/d")).admin_socket == Path("/srv/d/run/admin.sock")
    moved = Config(data_dir=Path("/srv/" + "d" * 80)).run_dir
    assert moved.parent == Path("/tmp")
    assert moved.name.startswith("servd-")


def test_the_files_of_a_data_directory_lie_below_it():
    """Nothing is kept outside but sockets."""
    config = Config(data_dir=Path("/srv/d"))
    files = (config.database, config.lock_file, config.info_file, config.bundles_dir)
    assert all(path.parent == config.data_dir for path in (*files, config.logs_dir))


@pytest.mark.parametrize("bind", ["127.0.0.1", "10.0.0.1"])
def test_queries_need_the_token_wherever_one_is_set(bind):
    """Loopback is no exception; public queries are."""
    assert Config(data_dir=Path("/d"), bind=bind, token="t").query_token == "t"
    assert Config(data_dir=Path("/d"), bind=bind).query_token is None
    public = Config(data_dir=Path("/d"), bind=bind, token="t", public_queries=True)
    assert public.query_token is None


@pytest.mark.parametrize(
    "token", ["pässword", "пароль", "a\nb", "a\0b", "\t", " ", "a\x7f", "\udce4"], ids=ascii
)
def test_a_token_that_clients_would_write_differently_is_refused(tmp_path, token):
    """Where it is set, and without showing it: in a header it would lock its owner out."""
    spelled = "".join(f"\\u{ord(character):04x}" for character in token)
    places = [({"SERVD_TOKEN": token}, tmp_path / "elsewhere")]
    if token != "\udce4":  # which no file of the kind can hold
        (tmp_path / "servd.toml").write_text(f'token = "{spelled}"')
        places.append(({}, tmp_path))
    for environ, cwd in places:
        with pytest.raises(ConfigError, match="a token has letters, digits and signs") as caught:
            load_config({"data_dir": "d"}, environ, cwd)
        assert token.strip() == "" or token not in caught.value.message


@pytest.mark.parametrize("token", ["secret", " secret", "secret\n", "\tsecret \r\n"])
def test_what_surrounds_a_token_is_no_part_of_it(tmp_path, token):
    """Files and secrets end with a newline, and HTTP drops what stands around a header's value."""
    environ = {"SERVD_TOKEN": token, "SERVD_DATA_DIR": str(tmp_path)}
    assert load_config({}, environ, tmp_path).token == "secret"


def test_no_setting_is_silently_left_out_of_what_a_running_daemon_is_compared_by():
    """But for those that say which daemon it is and who may talk to it; no password is told."""
    index = "https://me:pass@packages.example/simple"
    config = Config(
        data_dir=Path("/d"),
        token="t",
        requirements=Path("/r.txt"),
        extra_index=(index,),
        apt=("g",),
    )
    told = settings_of(config)
    assert set(_SETTINGS) - told.keys() == {"data_dir", "token"}
    assert "pass" not in json.dumps(told)
    assert told["extra_index"] == ["https://packages.example/simple"]
    asked = {"requirements": Path("/r.txt"), "extra_index": (index,), "apt": ("h",)}
    assert differing(asked, told) == ["apt"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.2", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("x", False)],
)
def test_loopback_addresses_are_told_apart(host, expected):
    """Names other than localhost count as foreign."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("off", False), ("1", True)])
def test_a_switch_takes_the_usual_words(tmp_path, text, value):
    """Variables have no booleans."""
    environ = {"SERVD_PUBLIC_QUERIES": text, "SERVD_DATA_DIR": str(tmp_path)}
    assert load_config({}, environ, tmp_path).public_queries is value
    assert load_config({"public_queries": value}, {}, tmp_path).public_queries is value


@pytest.fixture
def homeless(monkeypatch):
    """Be a user whom no file names, without HOME, as `docker run -u 54321` has it."""
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("place", ["flag", "variable", "file"])
def test_a_data_directory_that_is_given_needs_no_home(tmp_path, place):
    """No default is worked out that is not used."""
    folder = str(tmp_path / "d")
    if place == "file":
        (tmp_path / "servd.toml").write_text(f'data_dir = "{folder}"')
    flags = {"data_dir": folder if place == "flag" else None}
    environ = {"SERVD_DATA_DIR": folder} if place == "variable" else {}
    assert load_config(flags, environ, tmp_path).data_dir == tmp_path / "d"


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("folder", [None, "~/d", "~nobody-of-that-name/d"])
@pytest.mark.parametrize("is_told", [True, False])
def test_without_a_home_the_message_says_what_to_give(tmp_path, monkeypatch, folder, is_told):
    """Never a folder called ~, whether platformdirs complains or leaves it as it is."""
    if not is_told:
        monkeypatch.setattr("platformdirs.user_data_dir", lambda _: "~/.local/share/servd")
    with pytest.raises(ConfigError) as caught:
        load_config({"data_dir": folder}, {}, tmp_path)
    assert "home directory" in caught.value.message
    if folder is None:
        assert "SERVD_DATA_DIR" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("*", ("*",)),
        ("https://a.example http://localhost:3000", ("https://a.example", "http://localhost:3000")),
        (["HTTPS://A.example:443/"], ("https://a.example",)),
        (("http://[::1]:80", "http://[::1]"), ("http://[::1]",)),
        (
            ["chrome-extension://abc", "https://a.example:8443"],
            ("chrome-extension://abc", "https://a.example:8443"),
        ),
    ],
)
def test_origins(given, origins, tmp_path):
    """Origins are kept as browsers write them, once each."""
    assert load_config({"cors": given}, {}, tmp_path).cors == origins
    (tmp_path / "servd.toml").write_text(f"cors = {json.dumps(list(origins))}")
    assert load_config({}, {}, tmp_path).cors == origins
    environ = {"SERVD_CORS": " ".join(origins)}
    assert load_config({}, environ, tmp_path / "other").cors == origins


@pytest.mark.parametrize(
    "wrong",
    ["a.example", "https://a/path", "null", "https://*.example", "https://a b", "https://", 3],
)
def test_what_is_no_origin(wrong, tmp_path):
    """What no browser would ever send is refused, with what an origin is."""
    with pytest.raises(ConfigError, match=r"--cors: .*(origin|list of texts)"):
        load_config({"cors": [wrong]}, {}, tmp_path)

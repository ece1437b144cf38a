"""The settings of a daemon and where they come from. Read by the CLI and given to the daemon.

A setting is taken from the first of: a flag, a `SERVD_*` variable, `servd.toml` (in the working
directory, then in the data directory), the default.
"""

import hashlib
import ipaddress
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from servd.errors import ConfigError, did_you_mean
from servd.quantities import parse_duration, parse_size

_MIB: Final = 1024 * 1024
_SOCKET_PATH_LIMIT: Final = 60
"""Longest `DATA_DIR/run` used as is: socket paths end at 107 bytes and replicas add their names."""
_MAX_FRONTENDS: Final = 64
_MAX_WARM_VERSIONS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one daemon. Port 0 stands for any free port.

    `carrier` is what carries messages to replica processes of this machine: "unix", a stream
    socket, "zmq", ZeroMQ, or "auto", which is the faster of both (docs/adr/0005).
    """

    data_dir: Path
    query_port: int = 1337
    admin_port: int = 1338
    bind: str = "127.0.0.1"
    cache_bytes: int = 32 * _MIB
    frontends: int = 1
    log_level: str = "info"
    drain_s: float = 10.0
    max_body_bytes: int = 64 * _MIB
    max_rows: int = 16_384
    max_values: int = 2_000_000
    max_ratio: int = 200
    load_timeout_s: float = 120.0
    test_timeout_s: float = 30.0
    predict_timeout_s: float = 60.0
    warm_versions: int = 2
    carrier: str = "auto"
    public_queries: bool = False
    show_errors: bool | None = None
    cors: tuple[str, ...] = ()
    token: str | None = None
    base_image: str | None = None
    requirements: Path | None = None
    extra_index: tuple[str, ...] = ()
    wheel: tuple[Path, ...] = ()
    apt: tuple[str, ...] = ()

    @property
    def query_token(self) -> str | None:
        """The token that queries must carry; None where none is set or queries are public."""
        return None if self.public_queries else self.token

    @property
    def tells_errors(self) -> bool:
        """Whether callers read what a model has raised: on loopback, unless it is said."""
        return is_loopback(self.bind) if self.show_errors is None else self.show_errors

    @property
    def run_dir(self) -> Path:
        """The folder (0700) of sockets and pid files."""
        inside = self.data_dir / "run"
        if len(str(inside)) <= _SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:8]
        return Path("/tmp") / f"servd-{os.getuid()}-{digest}"  # noqa: S108 - made 0700 by the daemon

    @property
    def admin_socket(self) -> Path:
        """The unix socket of the admin API."""
        return self.run_dir / "admin.sock"

    @property
    def feed_socket(self) -> Path:
        """The unix socket by which front-end processes follow the daemon."""
        return self.run_dir / "feed.sock"

    @property
    def curve_dir(self) -> Path:
        """The folder of the keys for replicas that are reached over tcp."""
        return self.run_dir / "curve"

    @property
    def database(self) -> Path:
        """The registry's SQLite file."""
        return self.data_dir / "servd.db"

    @property
    def lock_file(self) -> Path:
        """The file that one running daemon holds locked."""
        return self.data_dir / "servd.lock"

    @property
    def info_file(self) -> Path:
        """The JSON file that says where the running daemon answers."""
        return self.data_dir / "daemon.json"

    @property
    def bundles_dir(self) -> Path:
        """The folder of the deployed files, one folder a digest."""
        return self.data_dir / "bundles"

    @property
    def registry_note(self) -> Path:
        """The file that says which registry the bundles belong to, and how far it was."""
        return self.data_dir / "registry.json"

    @property
    def scratch_dir(self) -> Path:
        """The folder in which replicas work, each in one of its own."""
        return self.data_dir / "scratch"

    @property
    def environments_dir(self) -> Path:
        """The folder of the environments that are built for models."""
        return self.data_dir / "environments"

    @property
    def logs_dir(self) -> Path:
        """The folder of the logs of the daemon and of its replicas."""
        return self.data_dir / "logs"


def _positive_duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds < 0:
        raise ValueError(f"{value!r} is below zero")
    return seconds


def _time_limit(value: object) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"{value!r} is no time to wait")
    return seconds


def _whole(what: str, lowest: int, highest: float) -> Callable[[object], int]:
    """Return what reads a whole number between these."""

    def parse(value: object) -> int:
        text = str(value)
        is_whole = not isinstance(value, bool) and text.isascii() and text.isdigit()
        if not is_whole or not lowest <= int(text) <= highest:
            raise ValueError(f"{value!r} is not a {what}")
        return int(text)

    return parse


def _word(what: str, *words: str) -> Callable[[object], str]:
    """Return what reads one of these words, in letters of any case."""

    def parse(value: object) -> str:
        word = str(value).lower()
        if word not in words:
            raise ValueError(f"{value!r} is not a {what} ({', '.join(words)})")
        return word

    return parse


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{value!r} is not true or false")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value


def _token(value: object) -> str:
    """Return a token that a header can carry, and that every client writes into it alike.

    What surrounds it is no part of it: files and secrets often end with a newline, and HTTP drops
    blanks at the ends of a header. The error does not show it.
    """
    token = _text(value).strip()
    if not token or not all(" " <= character <= "~" for character in token):
        raise ValueError(
            "a token has letters, digits and signs of ASCII only, as every client writes these "
            "alike into an HTTP header; this one is blank or has others"
        )
    return token


def _folder(value: object) -> Path:
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value}: there is no home directory that ~ could stand for") from error


def _texts(value: object) -> tuple[str, ...]:
    """Return a list of texts, or of the words of one text, as variables have them."""
    listed = value.split() if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        raise ValueError(f"{value!r} is not a list of texts")
    return tuple(listed)


def _origins(value: object) -> tuple[str, ...]:
    """Return origins as browsers write them: in small letters, without the port that is usual."""
    found: dict[str, None] = {}
    for text in _texts(value):
        origin = text.lower().removesuffix("/")
        if origin != "*" and _ORIGIN.fullmatch(origin) is None:
            raise ValueError(
                f"{text!r} is not an origin: SCHEME://HOST[:PORT] without a path, as "
                "https://app.example.com, or * for pages from anywhere (files too)"
            )
        usual = _USUAL_PORTS.get(origin.partition(":")[0], "")
        found[origin.removesuffix(usual)] = None
    return tuple(found)


_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:\d{1,5})?")
_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}

_port: Final = _whole("port (0 to 65535)", 0, 65535)
_count: Final = _whole("whole number above 0", 1, math.inf)
_frontends: Final = _whole(f"number of processes (1 to {_MAX_FRONTENDS})", 1, _MAX_FRONTENDS)
_warm: Final = _whole(f"number of versions (1 to {_MAX_WARM_VERSIONS})", 1, _MAX_WARM_VERSIONS)

_SETTINGS: Final[dict[str, tuple[str, Callable[[object], Any]]]] = {
    "data_dir": ("data_dir", _folder),
    "query_port": ("query_port", _port),
    "admin_port": ("admin_port", _port),
    "bind": ("bind", _text),
    "cache_size": ("cache_bytes", parse_size),
    "frontends": ("frontends", _frontends),
    "log_level": ("log_level", _word("log level", "debug", "info", "warning", "error")),
    "drain": ("drain_s", _positive_duration),
    "max_body": ("max_body_bytes", parse_size),
    "max_rows": ("max_rows", _count),
    "max_values": ("max_values", _count),
    "max_ratio": ("max_ratio", _count),
    "load_timeout": ("load_timeout_s", _time_limit),
    "test_timeout": ("test_timeout_s", _time_limit),
    "predict_timeout": ("predict_timeout_s", _time_limit),
    "warm_versions": ("warm_versions", _warm),
    "carrier": ("carrier", _word("carrier", "auto", "unix", "zmq")),
    "public_queries": ("public_queries", _flag),
    "cors": ("cors", _origins),
    "show_errors": ("show_errors", _flag),
    "token": ("token", _token),
    "base_image": ("base_image", _text),
    "requirements": ("requirements", lambda value: Path(_text(value)).absolute()),
    "extra_index": ("extra_index", _texts),
    "wheel": ("wheel", lambda value: tuple(Path(text).absolute() for text in _texts(value))),
    "apt": ("apt", _texts),
}
"""Setting name (flag, variable and servd.toml key) → field of Config and parser of its value."""

_UNTOLD: Final = frozenset({"data_dir", "token"})


def load_config(
    flags: Mapping[str, object | None],
    environ: Mapping[str, str],
    cwd: Path,
    check: Callable[[Config], None] | None = None,
) -> Config:
    """Return the settings that flags (None: not given), variables and files add up to.

    `check` refuses what does not go together, by default in a daemon.

    Raises:
        ConfigError: a value or a key is wrong; the message says where it stands.
    """
    given = _asked(flags, environ)
    given = _read_file(cwd / "servd.toml") | given
    # The default is asked for only where it is used: not every user has one.
    data_dir = cwd / (given["data_dir"] if "data_dir" in given else _default_data_dir())
    given = _read_file(data_dir / "servd.toml") | given
    given["data_dir"] = Path(os.path.normpath(data_dir))
    config = Config(**given)
    (check or _check)(config)
    return config


def asked_settings(
    flags: Mapping[str, object | None], environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return the fields of Config that flags and variables give: what a command asks for.

    Without those that say which daemon is meant and who may talk to it.

    Raises:
        ConfigError: a value is wrong.
    """
    given = _asked(flags, environ)
    return {name: value for name, value in given.items() if name not in ("data_dir", "token")}


def _asked(flags: Mapping[str, object | None], environ: Mapping[str, str]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    for name, value in flags.items():
        if value is not None:
            asked |= _parse_one(name, value, f"--{name.replace('_', '-')}")
    for name in _SETTINGS:
        variable = f"SERVD_{name.upper()}"
        if text := environ.get(variable):
            asked = _parse_one(name, text, variable) | asked
    return asked


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings by their names, without any secret. `GET /status` shows them."""
    return {
        name: told(getattr(config, field))
        for name, (field, _) in _SETTINGS.items()
        if name not in _UNTOLD
    }


def told(value: Any) -> Any:
    """Return a setting's value as JSON has it, without the names and passwords of indexes."""
    if isinstance(value, tuple):
        return [re.sub(r"(?<=://)[^/]*@", "", str(each)) for each in value]
    return str(value) if isinstance(value, Path) else value


def differing(asked: Mapping[str, Any], running: Mapping[str, Any]) -> list[str]:
    """Return the names of settings that are asked for and that a running daemon does not have.

    `asked` has Config's fields, `running` what `settings_of` returned. A port of 0 is any port.
    """
    return [
        name
        for name, (field, _) in _SETTINGS.items()
        if field in asked
        and name in running
        and told(asked[field]) != running[name]
        and not (name.endswith("_port") and asked[field] == 0)
    ]


def _default_data_dir() -> Path:
    import platformdirs  # noqa: PLC0415 - most commands are given or configured a folder

    try:
        folder = Path(platformdirs.user_data_dir("servd"))
    except RuntimeError:
        folder = Path("~")
    if not folder.is_absolute():
        # Without a home directory ~ stays as it is, and would be made as a folder of that name.
        raise ConfigError(
            f"user {os.getuid()} has no home directory, so there is no default data directory",
            hint="give a folder that this user can write: --data-dir DIR or SERVD_DATA_DIR",
        )
    return folder


def _parse_one(name: str, value: object, place: str, shown: str = "") -> dict[str, Any]:
    """Return a setting's field and value; `shown` names it where its place does not."""
    if name not in _SETTINGS:
        raise ConfigError(f"{place}: unknown setting '{name}'", hint=did_you_mean(name, _SETTINGS))
    field, parse = _SETTINGS[name]
    try:
        return {field: parse(value)}
    except ValueError as error:
        raise ConfigError(f"{shown or place}: {error}") from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    parsed: dict[str, Any] = {}
    for key, value in content.items():
        parsed |= _parse_one(key.replace("-", "_"), value, str(path), f"{path}: {key}")
    return parsed


def _check(config: Config) -> None:
    if config.query_port and config.query_port == config.admin_port:
        raise ConfigError(
            f"the query port and the admin port are both {config.query_port}",
            hint="give one of them another number: --query-port or --admin-port",
        )
    if config.token is None and not is_loopback(config.bind):
        raise ConfigError(
            f"--bind {config.bind} is reachable from other machines and no token is set",
            hint="set SERVD_TOKEN: it guards the admin API, which runs the code it is given",
        )


def is_loopback(host: str) -> bool:
    """Return whether an address or a host name is this machine's own loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

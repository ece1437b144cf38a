"""The admin API's client: plain HTTP over the unix socket or TCP. Used by the CLI.

Only `http.client` is used, so that a command starts fast.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from servd.client.calls import Call
from servd.config import Config, is_loopback
from servd.errors import ConfigError, DaemonNotRunningError, NotFoundError, ServdError
from servd.system import peers
from servd.system.identity import is_of, process_id

API: Final = "/api/v1"
NDJSON: Final = "application/x-ndjson"
_WITH_BODY: Final = frozenset({"POST", "PUT"})


class ApiError(ServdError):
    """An error object that the daemon answered; code, message, hint and traceback are its own."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(
            str(problem.get("message") or f"the daemon answered {status}"),
            hint=str(problem.get("hint") or ""),
            traceback=str(problem.get("traceback") or ""),
        )
        self.status = status
        self.code = str(problem.get("code") or "internal")


class ApiNotFoundError(ApiError, NotFoundError):
    """The daemon answered that what was asked for does not exist."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the admin API answers: a unix socket, or a host and a port."""

    path: Path | None = None
    host: str = "localhost"
    port: int = 0
    owner: int | None = None
    """Who may have made the socket, beside this process's user and root; None: whoever did."""

    def __str__(self) -> str:
        return str(self.path) if self.path else f"http://{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that `http://host:port`, `host:port` or `unix:/path` names.

    Raises:
        ConfigError: it is none of them.
    """
    if text.startswith(("unix:", "/")):
        return Address(path=Path("/" + text.removeprefix("unix:").lstrip("/")))
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"--admin: '{text}' is not an address: {error}") from error
    if parts.scheme != "http" or not host:
        raise ConfigError(
            f"--admin: '{text}' is not an address", hint="for example http://127.0.0.1:1338"
        )
    return Address(host=host, port=port or 1338)


def query_base(url: str, admin_url: str | None) -> str:
    """Return where queries go: the daemon says, but of another machine's loopback is none here."""
    address = parse_address(admin_url) if admin_url else Address()
    parts = urlsplit(url)
    if address.path is not None or is_loopback(address.host):
        return url
    if not is_loopback(parts.hostname or ""):
        return url
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{parts.scheme}://{host}:{parts.port}"


def find_daemon(config: Config, admin: str | None = None, timeout_s: float = 30.0) -> "AdminClient":
    """Return a client of the daemon at `admin`, or else of the one on the data directory.

    Nothing is connected yet: a daemon that is gone shows at the first call.
    """
    if admin:
        return AdminClient(parse_address(admin), config.token, timeout_s)
    info = read_info(config)
    path = Path(info.get("admin_socket") or config.admin_socket)
    return AdminClient(
        Address(path=path, owner=_owner(config.data_dir)),
        config.token,
        timeout_s,
        # read_info has seen that this very daemon still runs, so its port is its own.
        fallback=parse_address(info["admin_url"]) if info.get("admin_url") else None,
    )


def _owner(folder: Path) -> int:
    try:
        return folder.stat().st_uid
    except OSError:
        return os.geteuid()


def read_info(config: Config) -> dict[str, Any]:
    """Return what daemon.json says of the daemon on this data directory.

    Nothing where there is none, it is damaged, or it speaks of another daemon: of the one on the
    folder that this one is a copy of, or of one that has ended.
    """
    try:
        info = json.loads(config.info_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(info, dict) or not is_of(config.data_dir, info.get("data_dir_id")):
        return {}
    pid = info.get("pid")
    began = process_id(pid) if isinstance(pid, int) else None
    return info if began is not None and began == info.get("process_id") else {}


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address.path))
        check_peer(self.sock, self._address)


def check_peer(connected: socket.socket, address: Address) -> None:
    """Raise PermissionError where a unix socket is answered by somebody who may not.

    In /tmp anybody may have made it while no daemon ran, to be told the token.
    """
    _, uid = peers.unix_peer(connected)
    if address.owner not in (None, uid) and not peers.may_act(uid):
        raise PermissionError(f"{address} is answered by user {uid}")


class AdminClient:
    """Calls of `/api/v1`. Every method raises ApiError for an error answer, and
    DaemonNotRunningError where nothing answers.
    """

    def __init__(
        self,
        address: Address,
        token: str | None = None,
        timeout_s: float = 30.0,
        *,
        fallback: Address | None = None,
    ) -> None:
        self.address = address
        self._fallback = fallback
        self.token = token
        self._timeout_s = timeout_s

    @property
    def addresses(self) -> list[Address]:
        """Where it answers, and where else, should that be gone."""
        return [self.address, *([self._fallback] if self._fallback else [])]

    def ask(self, call: Call) -> Any:
        """Return the JSON answer of a call, or None where it has none."""
        body = _encode(call.body) if call.method in _WITH_BODY else None
        return self._call(call.method, call.path, body)

    def get(self, path: str) -> Any:
        """Return the JSON answer of a GET."""
        return self._call("GET", path)

    def post(self, path: str, body: object = None) -> Any:
        """Return the JSON answer of a POST of a JSON body."""
        return self._call("POST", path, _encode(body))

    def put(self, path: str, body: object = None) -> Any:
        """Return the JSON answer of a PUT of a JSON body."""
        return self._call("PUT", path, _encode(body))

    def delete(self, path: str) -> Any:
        """Return the JSON answer of a DELETE, or None where it has none."""
        return self._call("DELETE", path)

    def has(self, path: str) -> bool:
        """Return whether a HEAD finds something there."""
        try:
            self._call("HEAD", path)
        except NotFoundError:
            return False
        return True

    def upload(self, path: str, content: Iterable[bytes], size: int) -> None:
        """PUT what comes piece by piece, `size` bytes in all."""
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
        with self._exchange("PUT", path, content, headers) as response:
            response.read()

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        """GET a file and yield it, to be read as it comes."""
        with self._exchange("GET", path, None, {}) as response:
            yield response

    def events(self, path: str, body: object) -> Iterator[dict[str, Any]]:
        """POST a JSON body and yield each line of the NDJSON answer as it comes."""
        headers = {"Content-Type": "application/json", "Accept": NDJSON}
        with self._exchange("POST", path, _encode(body), headers) as response:
            while line := response.readline():
                if line.strip():
                    yield json.loads(line)

    def lines(self, path: str) -> Iterator[str]:
        """GET a text and yield each line of it as it comes, without its end."""
        with self._exchange("GET", path, None, {}) as response:
            while line := response.readline():
                yield line.decode("utf-8", "replace").rstrip("\n")

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        with self._exchange(method, path, body, headers) as response:
            content = response.read()
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise ApiError(502, {"message": f"{self.address}{path} did not answer JSON"}) from error

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connected()
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                # A daemon that refuses a long body answers before it has read it all.
                connection.request(method, API + path, body, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise self.error_of(response.status, response.read())
            yield response
        except TimeoutError as error:
            raise ServdError(
                f"the daemon at {self.address} did not answer within {self._timeout_s:g} s"
            ) from error
        except (http.client.HTTPException, ConnectionError, json.JSONDecodeError) as error:
            raise ServdError(
                f"the connection to {self.address} broke: {error or type(error).__name__}",
                hint="servd status    tells whether the daemon still runs",
            ) from error
        finally:
            connection.close()

    def error_of(self, status: int, content: bytes) -> ApiError:
        """Return the error that an answer is."""
        error = _api_error(status, content)
        if error.status == 401:
            error.hint = (
                "SERVD_TOKEN is not the daemon's token"
                if self.token
                else "set SERVD_TOKEN to the daemon's token"
            )
        return error

    def _connected(self) -> http.client.HTTPConnection:
        connection = self._connection()
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            if self._fallback is None:
                raise DaemonNotRunningError(str(self.address)) from error
            # The socket's file was taken away; the daemon that made it answers on its port too.
            self.address, self._fallback = self._fallback, None
            return self._connected()
        return connection

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.path is not None:
            return _UnixConnection(self.address, self._timeout_s)
        return http.client.HTTPConnection(
            self.address.host, self.address.port, timeout=self._timeout_s
        )


def _encode(body: object) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


def _api_error(status: int, content: bytes) -> ApiError:
    try:
        problem = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        problem = {"message": content.decode("utf-8", "replace").strip()}
    if not isinstance(problem, dict):
        # The admin API's errors are objects; the query API's are texts.
        hint = "is this the address of an admin API, by default on port 1338?"
        return ApiError(502, {"message": f"the daemon answered: {problem}", "hint": hint})
    return (ApiNotFoundError if status == 404 else ApiError)(status, problem)

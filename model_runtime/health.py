"""What a prober asks a replica over HTTP: `GET /healthz` and `GET /readyz`. Started by __main__.py.

For Kubernetes and Docker, whose probes do not speak the replica protocol. One daemon thread answers
one request after the other; the thread that computes is not asked and loses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET
from typing import TYPE_CHECKING, Any, ClassVar, Final

from model_runtime import forks, protocol
from model_runtime.older import dataclass

if TYPE_CHECKING:
    from model_runtime.older import Self

REQUEST_TIMEOUT_S: Final = 2.0
"""A prober that sends its request more slowly keeps the next one from being answered."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a replica is: a state of docs/protocol.md, and how long it has been in one call."""

    state: str
    call_s: float


class HealthServer:
    """A context manager that answers at `address`, "HOST:PORT", as long as it is open.

    Args:
        address: where to listen; port 0 is any free one.
        health: says how the replica is. Called in the server's thread.
        stuck_after_s: a call of the model that takes longer is taken to hang.
    """

    def __init__(
        self, address: str, health: Callable[[], Health], stuck_after_s: float = 60.0
    ) -> None:
        self._address = parse_address(address)
        self._health = health
        self._stuck_after_s = stuck_after_s
        self._server: HTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"asked": self})
        server_class = _Server6 if ":" in self._address[0] else _Server
        self._server = server_class(self._address, handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="servd-health", daemon=True
        )
        self._thread.start()
        forks.in_children(self._server.socket.close)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._server is not None and self._thread is not None:
            forks.not_any_more(self._server.socket.close)
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        assert self._server is not None  # noqa: S101  # only asked while it listens
        return int(self._server.server_address[1])

    def answer(self, path: str) -> tuple[int, str]:
        """Return the status and the text for a path."""
        health = self._health()
        if path == "/healthz":
            if health.call_s > self._stuck_after_s:
                return 503, f"the model has not returned from a call for {health.call_s:.0f} s"
            return 200, "ok"
        if path == "/readyz":
            return (200 if health.state == protocol.READY else 503), health.state
        return 404, "there are /healthz and /readyz"


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and the port of "HOST:PORT"; an IPv6 host stands in brackets.

    Raises:
        ValueError: it is not that.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 0.0.0.0:7001")
    return host, int(port)


class _Server(HTTPServer):
    address_family = AF_INET

    def server_bind(self) -> None:
        # HTTPServer would ask the name service for this host's name, and wait for it.
        self.socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a prober that hung up."""


class _Server6(_Server):
    address_family = AF_INET6


class _Handler(BaseHTTPRequestHandler):
    """One request; `HealthServer` makes the class that knows the answers."""

    timeout = REQUEST_TIMEOUT_S
    server_version = "servd"
    sys_version = ""
    asked: ClassVar[HealthServer]

    def do_GET(self) -> None:
        """Answer, and close the connection: HTTP/1.0."""
        status, text = self.asked.answer(self.path.partition("?")[0])
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *args: object) -> None:
        """Say nothing: a probe comes every few seconds."""

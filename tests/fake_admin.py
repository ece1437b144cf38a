"""An admin API that answers what a test lays down, over a real unix socket or TCP port."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

STATUS = {
    "version": "0.1.0",
    "pid": 4121,
    "uptime_s": 12.3,
    "query_url": "http://127.0.0.1:1337",
    "admin_url": "http://127.0.0.1:1338",
    "admin_socket": "/run/admin.sock",
    "data_dir": "/data",
    "applications": 1,
    "models": 1,
    "replicas": 2,
    "memory_bytes": 55_000_000,
}


class _UnixServer(socketserver.UnixStreamServer):
    server_name, server_port = "localhost", 0


class FakeAdmin:
    """`answers` maps "GET /status" to (status, body); a body of str is sent as it is.

    `requests` lists what came: method, path and the JSON body.
    """

    def __init__(self, socket_path: Path | None = None) -> None:
        self.answers: dict[str, tuple[int, Any]] = {"GET /status": (200, STATUS)}
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        admin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                admin.serve(self)

            do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                pass

        self._server: socketserver.BaseServer
        if socket_path is None:
            self._server = HTTPServer(("127.0.0.1", 0), Handler)
            self.port = self._server.server_port
        else:
            socket_path.parent.mkdir(parents=True, exist_ok=True)
            self._server = _UnixServer(str(socket_path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving; the socket is closed."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        content = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        is_json = request.headers.get("Content-Type") == "application/json"
        path = request.path.removeprefix("/api/v1")
        body = json.loads(content) if is_json and content else content
        self.requests.append((request.command, path, body))
        self.headers.append(dict(request.headers))
        missing = (404, {"error": {"code": "not_found", "message": f"nothing at {path}"}})
        status, answer = self.answers.get(f"{request.command} {path}", missing)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        request.send_response(status)
        request.end_headers()
        if request.command != "HEAD" and status != 204:
            request.wfile.write(text.encode())

"""A package index on loopback that wants a name and a password, for tests of private ones."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USER = "reader"
PASSWORD = "s3cr3t-of-the-index"


@contextmanager
def serving(wheels: Path, *, is_private: bool = True) -> Iterator[str]:
    """Serve a folder of wheels; yield the address without a name, as in 127.0.0.1:8000/simple."""
    wanted = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if is_private and self.headers.get("Authorization") != wanted:
                self._answer(401, b"who are you", {"WWW-Authenticate": 'Basic realm="index"'})
                return
            part = self.path.strip("/").split("/")
            if part[0] == "files":
                self._answer(200, (wheels / part[1]).read_bytes(), {})
            elif len(part) == 2:
                found = sorted(wheels.glob(f"{part[1]}-*.whl"))
                links = "".join(f'<a href="/files/{e.name}">{e.name}</a>\n' for e in found)
                self._answer(200 if found else 404, links.encode(), {"Content-Type": "text/html"})
            else:
                self._answer(404, b"", {})

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()

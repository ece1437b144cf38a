"""Registries on loopback: a real one, and one that refuses. Used by test_images.py."""

import json
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.daemon import free_port

START_S = 15
_CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """Debian's docker-registry on a free port, as a context manager; `address` is host:port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._settings = _CONFIG.format(folder=folder / "data", port=port)

    def __enter__(self) -> Self:
        config = self._folder / "registry.yml"
        config.write_text(self._settings)
        with (self._folder / "registry.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=log
            )
        self._await()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.wait(START_S)

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository."""
        url = f"http://{self.address}/v2/{repository}/tags/list"
        with urllib.request.urlopen(url, timeout=START_S) as answer:
            return list(json.load(answer)["tags"])

    def _await(self) -> None:
        end_s = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}/v2/", timeout=START_S).close()
            except OSError:
                assert time.monotonic() < end_s, "the registry does not answer"
                time.sleep(0.05)
            else:
                return


class RefusingRegistry:
    """A registry that answers every request with one status and the error object of registries."""

    def __init__(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_ping = self.path == "/v2/"
                self.send_response(200 if is_ping else status)
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(2 if is_ping else len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"{}" if is_ping else body)

            do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

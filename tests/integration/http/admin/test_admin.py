"""The admin server as a server: who may talk to it, and that everything gets an answer."""

import asyncio
import errno
import gzip
import http.client
import io
import os
import re
import socket

import aiohttp
import pytest

from servd.http.admin import problems
from servd.http.admin import server as admin

JSON_404 = "request_refused"


def test_the_socket_is_the_users_own(scenario, tmp_path):
    """The unix socket has mode 0600, answers whatever the Host, and goes when the server ends."""
    paths = []

    async def steps(parts):
        path = parts.config.admin_socket
        paths.append(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://elsewhere/api/v1/status") as answer,
        ):
            assert answer.status == 200

    scenario(tmp_path, steps)
    assert not paths[0].exists()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:1", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:80", 200),
        ("LOCALHOST", 200),
        ("example.org", 403),
        ("localhost.example.org", 403),
        ("localhost@example.org", 403),
        ("example.org/localhost", 403),
        ("localhost:99999", 403),
        ("", 403),
    ],
)
def test_only_the_daemons_own_names_are_served(scenario, tmp_path, host, status):
    """Over TCP a Host that is not the daemon's is refused, so a rebound name reaches nothing."""

    async def steps(parts):
        found = await parts.call("GET", "/api/v1/status", headers={"Host": host})
        assert found[0] == status

    scenario(tmp_path, steps)


def test_other_sites_are_refused(scenario, tmp_path):
    """A request with another site's Origin, or none that is known, is refused."""

    async def steps(parts):
        for origin, status in (
            (parts.base, 200),
            ("http://example.org", 403),
            ("null", 403),
            (f"{parts.base}.example.org", 403),
        ):
            found = await parts.call("GET", "/admin/ping", headers={"Origin": origin})
            assert found[0] == status, origin

    scenario(tmp_path, steps)


def test_a_token_is_demanded_off_loopback(scenario, tmp_path):
    """Bound to other addresses, any Host is served to who sends the token, and nobody else."""

    async def steps(parts):
        host = {"Host": "servd.example.org"}
        for header, status in (
            (None, 401),
            ("Bearer wrong", 401),
            ("Basic secret", 401),
            ("Bearer", 401),
            ("Bearer sécret", 401),
            ("Bearer secret", 200),
            ("bearer   secret", 200),
            ("Bearersecret", 401),
        ):
            headers = host | ({"Authorization": header} if header else {})
            assert (await parts.call("GET", "/api/v1/status", headers=headers))[0] == status
        async with parts.client.get(parts.base + "/", headers=host) as answer:
            assert answer.headers["WWW-Authenticate"] == "Bearer"

    scenario(tmp_path, steps, bind="0.0.0.0", token="secret")


@pytest.mark.parametrize("token", [None, "secret"])
def test_a_token_that_is_set_is_demanded_on_loopback(scenario, tmp_path, token):
    """The same user's own process needs it over TCP, and does not on the unix socket."""

    async def steps(parts):
        assert (await parts.call("GET", "/api/v1/status"))[0] == (401 if token else 200)
        headers = {"Authorization": "Bearer secret"}
        assert (await parts.call("GET", "/api/v1/status", headers=headers))[0] == 200
        assert (await asyncio.to_thread(ask_unix, parts.config.admin_socket)) == 200

    scenario(tmp_path, steps, token=token)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(
    ("door", "token", "status"),
    [("tcp", "", 403), ("unix", "", 403), ("tcp", "secret", 401), ("unix", "secret", 401)],
)
def test_another_user_of_the_machine_is_refused(scenario, tmp_path, door, token, status):
    """On loopback, and on the unix socket should its mode be changed, unless it has the token."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:3]:
        folder.chmod(0o755)

    async def steps(parts):
        for folder in (parts.config.admin_socket, *parts.config.admin_socket.parents[:2]):
            folder.chmod(0o777)
        ends = {"tcp": ("127.0.0.1", parts.config.admin_port), "unix": parts.config.admin_socket}
        for asked in range(2):  # the second time by what is known of the connection
            found = await asyncio.to_thread(ask_as, 65534, ends[door], "")
            assert found == [status, status], asked
        if token:
            assert await asyncio.to_thread(ask_as, 65534, ends[door], token) == [200, 200]
        assert await asyncio.to_thread(ask_as, 0, ends[door], token) == [200, 200]

    scenario(tmp_path, steps, token=token or None)


def connect_as(user, where):
    """Return a socket that belongs to another user."""
    before = os.geteuid()
    os.seteuid(user)
    try:
        if isinstance(where, tuple):
            return socket.create_connection(where)
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(where))
        return client
    finally:
        os.seteuid(before)


def ask_as(user, where, token):
    """Return the statuses of two requests on one connection of another user."""
    with connect_as(user, where) as client:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = client
        return [ask_on(connection, token) for _ in range(2)]


def ask_unix(path):
    """Return the status of a request on a unix socket without a token."""
    return ask_as(os.geteuid(), path, "")[0]


def ask_on(connection, token):
    """Return the status of one request."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("GET", "/api/v1/status", headers=headers)
    with connection.getresponse() as response:
        response.read()
        return response.status


def test_without_a_token_nobody_is_served_off_loopback(scenario, tmp_path):
    """Where no token is set, the empty one is not it."""

    async def steps(parts):
        found = await parts.call("GET", "/", headers={"Authorization": "Bearer "})
        assert found[0] == 401

    scenario(tmp_path, steps, bind="0.0.0.0")


def test_unknown_paths_and_methods_are_json(scenario, tmp_path):
    """404 and 405 are problem objects, and 405 says what is allowed."""

    async def steps(parts):
        status, answer = await parts.call("GET", "/api/v1/nothing")
        assert (status, answer["error"]["code"]) == (404, JSON_404)
        async with parts.client.patch(parts.base + "/api/v1/status") as found:
            assert (found.status, found.headers["Allow"]) == (405, "GET")

    scenario(tmp_path, steps)


def test_root_and_metrics_answer(scenario, tmp_path):
    """`/` says that servd runs, `/metrics` is Prometheus text."""

    async def steps(parts):
        assert await parts.call("GET", "/") == (200, "servd is running\n")
        status, text = await parts.call("GET", "/metrics")
        assert (status, "# TYPE" in text) == (200, True)

    scenario(tmp_path, steps)


def test_a_fault_of_servd_shows_only_an_id(scenario, tmp_path, caplog):
    """An unknown exception is 500 with an id; the traceback is in the log under that id."""

    async def steps(parts):
        def broken():
            raise RuntimeError("a secret")

        parts.supervisor.statuses = broken
        status, answer = await parts.call("GET", "/api/v1/replicas")
        assert status == 500
        assert "secret" not in str(answer)
        error_id = answer["error"]["message"].rpartition(" ")[2].rstrip(")")
        assert error_id in caplog.text
        assert "a secret" in caplog.text
        status, text = await parts.clipper("get_all_containers", verbose=True)
        assert (status, "secret" in text) == (500, False)

    scenario(tmp_path, steps)


def test_large_bodies_are_refused(scenario, tmp_path):
    """JSON beyond the limit is 413, also when its size is not announced."""
    body = b'{"name": "' + b"x" * admin.MAX_JSON_BYTES + b'"}'

    async def pieces():
        for at in range(0, len(body), 65536):
            yield body[at : at + 65536]

    async def steps(parts):
        for path in ("/api/v1/applications", "/admin/add_app"):
            for more in ({"data": io.BytesIO(body)}, {"data": pieces()}):
                assert (await parts.call("POST", path, **more))[0] == 413

    scenario(tmp_path, steps)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"name":1}'])
def test_malformed_json_is_refused(scenario, tmp_path, body):
    """Bodies that are not what a call takes are 400, whatever is wrong with them."""

    async def steps(parts):
        status, answer = await parts.call("POST", "/api/v1/applications", body)
        assert (status, answer["error"]["code"]) == (400, "malformed_body")

    scenario(tmp_path, steps)


def test_slow_bodies_are_ended(scenario, tmp_path, monkeypatch):
    """A client that does not send the body it announced gets a 408."""
    monkeypatch.setattr(problems, "BODY_TIMEOUT_S", 0.05)
    assert b" 408 " in _raw(
        scenario,
        tmp_path,
        b"POST /admin/add_app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    )


def test_silent_connections_are_ended(scenario, tmp_path, monkeypatch):
    """A connection whose first request does not come is closed."""
    monkeypatch.setattr(admin, "_FIRST_REQUEST_S", 0.05)
    assert _raw(scenario, tmp_path, b"GET / HT") == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        (
            b"POST /admin/add_app HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: 3\r\nConnection: close\r\n\r\nabc"
        ),
    ],
)
def test_malformed_http_is_refused(scenario, tmp_path, request_bytes):
    """What is not HTTP gets a 4xx and the server goes on."""
    assert re.match(rb"HTTP/1\.[01] 4", _raw(scenario, tmp_path, request_bytes))


def _raw(scenario, folder, request_bytes):
    """Send bytes and return all that comes until the server closes; it must serve others then."""

    async def steps(parts):
        reader, writer = await asyncio.open_connection("127.0.0.1", parts.config.admin_port)
        try:
            writer.write(request_bytes)
            answer = await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()
        assert (await parts.call("GET", "/admin/ping"))[0] == 200
        return answer

    return scenario(folder, steps)


def test_a_taken_port_is_an_error(scenario, tmp_path):
    """Entering a server whose port is taken raises OSError and leaves no socket behind."""

    async def steps(parts):
        server = admin.AdminServer(*(getattr(parts.server, name) for name in _PARTS))
        with pytest.raises(OSError, match="in use"):
            async with server:
                pass
        assert not parts.config.admin_socket.exists()

    scenario(tmp_path, steps)


_PARTS = ("deployer", "registry", "supervisor", "engine", "bundles", "config", "shutdown")


@pytest.mark.parametrize(
    ("code", "status"),
    [(errno.EROFS, 507), (errno.EACCES, 507), (errno.ENOSPC, 507), (errno.EMFILE, 507), (99, 500)],
)
def test_what_the_machine_refuses_is_said(scenario, tmp_path, code, status):
    """A handler that meets a full or read-only disk answers the reason, not an id."""

    async def steps(parts):
        def refuse(_digest):
            raise OSError(code, os.strerror(code), "/data/bundles/x")

        parts.server.bundles.has = refuse
        async with parts.client.head(f"{parts.base}/api/v1/bundles/{'0' * 32}") as answer:
            assert answer.status == status
        found = await parts.call("GET", f"/api/v1/bundles/{'0' * 32}")
        assert found[0] == status
        if status == 507:
            assert os.strerror(code) in found[1]["error"]["message"]
            assert "/data/bundles/x" in found[1]["error"]["message"]

    scenario(tmp_path, steps)


@pytest.mark.parametrize("path", ["/api/v1/applications", "/admin/add_app", "/api/v1/bundles/x"])
def test_packed_bodies_are_refused(scenario, tmp_path, path):
    """They would be unpacked, a few megabytes to gigabytes, before anybody is asked."""

    async def steps(parts):
        method = "PUT" if "bundles" in path else "POST"
        body = gzip.compress(bytes(20_000_000))
        found = await parts.call(method, path, data=body, headers={"Content-Encoding": "gzip"})
        assert found[0] == 415

    scenario(tmp_path, steps)

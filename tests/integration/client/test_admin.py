"""The admin API's client against a real HTTP server."""

import io
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from servd.client.admin import (
    Address,
    AdminClient,
    ApiError,
    find_daemon,
    parse_address,
)
from servd.client.calls import query, segment
from servd.config import Config
from servd.errors import ConfigError, DaemonNotRunningError, NotFoundError, ServdError
from servd.system.identity import folder_id, process_id
from tests.fake_admin import STATUS, FakeAdmin


@pytest.fixture
def client(admin, data_dir):  # noqa: ARG001 - the server has to run
    """Return a client of the fake admin API."""
    return find_daemon(Config(data_dir=data_dir))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:1338", Address(host="127.0.0.1", port=1338)),
        ("localhost:99", Address(host="localhost", port=99)),
        ("example.org", Address(host="example.org", port=1338)),
        ("http://[::1]:5", Address(host="::1", port=5)),
        ("unix:/run/x.sock", Address(path=Path("/run/x.sock"))),
        ("unix:///run/x.sock", Address(path=Path("/run/x.sock"))),
        ("/run/x.sock", Address(path=Path("/run/x.sock"))),
    ],
)
def test_an_address_is_a_url_a_host_or_a_socket(text, address):
    """All the forms that people write are understood."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["ftp://x", "http://", "host:port", "http://h:99999"])
def test_what_is_no_address_is_refused(text):
    """The message repeats it."""
    with pytest.raises(ConfigError, match="is not an address"):
        parse_address(text)


def test_every_method_reaches_the_daemon(client, admin):
    """Bodies are JSON, answers come back as values."""
    admin.answers |= {
        "POST /a": (201, {"a": 1}),
        "PUT /b": (200, [2]),
        "DELETE /c": (204, ""),
    }
    assert client.get("/status") == STATUS
    assert client.post("/a", {"x": 1}) == {"a": 1}
    assert client.put("/b") == [2]
    assert client.delete("/c") is None
    assert admin.requests[1] == ("POST", "/a", {"x": 1})


def test_an_error_answer_keeps_what_the_daemon_said(client, admin):
    """Code, message, hint, traceback and status are the daemon's own."""
    problem = {"code": "conflict", "message": "taken", "hint": "another", "traceback": "at 1"}
    admin.answers["POST /a"] = (409, {"error": problem})
    with pytest.raises(ApiError, match="taken") as caught:
        client.post("/a")
    error = caught.value
    assert (error.status, error.code, error.hint, error.traceback) == (
        *(409, "conflict"),
        *("another", "at 1"),
    )


@pytest.mark.parametrize(
    ("answer", "message"), [("oops", "oops"), ('{"error": "bad"}', "bad"), ("", "answered 500")]
)
def test_an_error_answer_of_another_shape_is_told_too(client, admin, answer, message):
    """Whatever a proxy answers becomes the message."""
    admin.answers["GET /a"] = (500, answer)
    with pytest.raises(ApiError, match=message):
        client.get("/a")


def test_an_answer_of_the_query_api_is_told_apart(client, admin):
    """Its 404 says nothing of what was asked for: the address is of the wrong port."""
    admin.answers["GET /a"] = (404, '{"error": "Not found", "cause": "/api/v1/a"}')
    with pytest.raises(ApiError, match="the daemon answered: Not found") as caught:
        client.get("/a")
    assert not isinstance(caught.value, NotFoundError)
    assert "port 1338" in caught.value.hint


def test_a_missing_thing_is_a_not_found_error(client):
    """404 has its own class."""
    with pytest.raises(NotFoundError, match="nothing at /nope"):
        client.get("/nope")


def test_an_answer_that_is_no_json_is_an_error(client, admin):
    """Something else answers there."""
    admin.answers["GET /a"] = (200, "<html>")
    with pytest.raises(ApiError, match="did not answer JSON"):
        client.get("/a")


def test_has_and_upload_carry_a_bundle(client, admin):
    """HEAD tells whether it is there, PUT sends the file's bytes."""
    admin.answers |= {"HEAD /bundles/x": (200, ""), "PUT /bundles/y": (201, {})}
    assert client.has("/bundles/x")
    assert not client.has("/bundles/y")
    client.upload("/bundles/y", io.BytesIO(b"tar"), 3)
    assert admin.requests[-1] == ("PUT", "/bundles/y", b"tar")


def test_events_come_line_by_line(client, admin):
    """Blank lines are signs of life only."""
    admin.answers["POST /deployments"] = (200, '{"a":1}\n\n{"b":2}\n')
    assert list(client.events("/deployments", {})) == [{"a": 1}, {"b": 2}]


def test_a_broken_event_is_a_broken_connection(client, admin):
    """A daemon that was killed leaves half a line."""
    admin.answers["POST /deployments"] = (200, '{"a":1}\n{"b"')
    with pytest.raises(ServdError, match="broke"):
        list(client.events("/deployments", {}))


def test_lines_are_text_whatever_the_bytes(client, admin):
    """Line ends are cut off."""
    admin.answers["GET /logs/m"] = (200, "one\ntwo\n")
    assert list(client.lines("/logs/m")) == ["one", "two"]


def test_the_token_is_sent():
    """A daemon off loopback wants it."""
    fake = FakeAdmin()
    try:
        client = AdminClient(Address(host="127.0.0.1", port=fake.port), "secret")
        client.get("/status")
    finally:
        fake.close()
    assert fake.headers[0]["Authorization"] == "Bearer secret"


def test_no_daemon_is_told_with_the_next_command(data_dir):
    """Nothing listens on the data directory's socket."""
    with pytest.raises(DaemonNotRunningError, match="no servd daemon answers") as caught:
        find_daemon(Config(data_dir=data_dir)).get("/status")
    assert caught.value.hint == "servd start"


@pytest.mark.parametrize("content", ["{", "[]", '{"pid": 1}'])
def test_a_damaged_daemon_json_is_passed_over(data_dir, content):
    """The socket's usual place is tried then."""
    (data_dir / "daemon.json").write_text(content)
    client = find_daemon(Config(data_dir=data_dir))
    assert client.address.path == data_dir / "run" / "admin.sock"


def test_daemon_json_says_where_the_socket_is(data_dir):
    """A daemon tells its own place."""
    (data_dir / "daemon.json").write_text(json.dumps(_info(data_dir)))
    assert find_daemon(Config(data_dir=data_dir)).address.path == Path("/run/other.sock")


@pytest.mark.parametrize(
    "of_another",
    [{"data_dir_id": "1:1"}, {"process_id": "boot:1"}, {"pid": 2**22 + 1}, {"data_dir_id": None}],
)
def test_a_daemon_json_of_another_daemon_is_passed_over(data_dir, of_another):
    """It came with a copy of the data directory, or its daemon has ended."""
    (data_dir / "daemon.json").write_text(json.dumps(_info(data_dir) | of_another))
    client = find_daemon(Config(data_dir=data_dir))
    assert client.address.path == data_dir / "run" / "admin.sock"


def _info(data_dir):
    return {
        "pid": os.getpid(),
        "process_id": process_id(os.getpid()),
        "data_dir_id": folder_id(data_dir),
        "admin_socket": "/run/other.sock",
    }


def test_a_silent_daemon_is_given_up():
    """The message says how long it was waited for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(host="127.0.0.1", port=listener.getsockname()[1])
        with pytest.raises(ServdError, match=r"did not answer within 0\.05 s"):
            AdminClient(address, timeout_s=0.05).get("/status")


def test_an_early_refusal_of_a_long_upload_is_read():
    """A daemon that answers before it has read the body says why."""
    said = b'HTTP/1.1 507 Full\r\nContent-Length: 29\r\n\r\n{"error":{"message":"is full"}}'
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(said.replace(b"29", b"31"))
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        client = AdminClient(Address(host="127.0.0.1", port=listener.getsockname()[1]))
        with pytest.raises(ApiError, match="is full"):
            client.upload("/bundles/x", io.BytesIO(bytes(1 << 22)), 1 << 22)
        thread.join()


def test_names_become_segments_and_values_queries():
    """Nothing in a name can leave its segment."""
    assert segment("a/b?c") == "a%2Fb%3Fc"
    assert query(a=1, b=None, c="x y") == "?a=1&c=x+y"
    assert query(a=None) == ""

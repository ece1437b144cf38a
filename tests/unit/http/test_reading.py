"""Bytes to requests, without a server."""

import asyncio
from types import SimpleNamespace

import pytest

from servd.http.reading import MAX_HEAD_BYTES, RequestReader
from tests.serving import post


class Collector(RequestReader):
    """Keeps requests and refusals."""

    def __init__(self, limit_bytes=1000):
        self.learned = []
        server = SimpleNamespace(
            tick=5,
            max_body_bytes=limit_bytes,
            known_heads={},
            learn_head=lambda *given: self.learned.append(given),
        )
        super().__init__(server)
        self.transport = SimpleNamespace(write=lambda _data: None)
        self.requests = []
        self.refusals = []
        self.known = []

    def on_request(self, request):
        """Keep a request."""
        self.requests.append(request)

    def on_refusal(self, status, cause):
        """Keep a refusal."""
        self.refusals.append((status, cause))

    def predict(self, route, body):
        """Keep a request whose head was known."""
        self.known.append((route, body))


REQUEST = post("/a/predict", {"input": [1]}, "Accept: x", "Authorization: y")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_any_pieces_give_the_same_request(size):
    """How TCP cuts a request does not matter."""
    reader = Collector()
    for at in range(0, len(REQUEST), size):
        reader.data_received(REQUEST[at : at + size])
        assert (reader.began is None) == (at + size >= len(REQUEST))
    (request,) = reader.requests
    assert (request.url, request.method) == (b"/a/predict", b"POST")
    assert (request.accept, request.authorization) == (b"x", b"y")
    assert request.body == b'{"input": [1]}'
    assert not request.is_last
    assert not reader.refusals


def test_a_head_is_learned_from_one_whole_plain_request_only():
    """Requests in pieces, in company, in chunks or with a demand teach nothing."""
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    for data in (
        REQUEST + REQUEST,
        chunked,
        b"GET / HTTP/1.1\r\n\r\n",
        post("/a", b"x", "Connection: close"),
        post("/a", b"x", "Content-Encoding: gzip"),
        post("/a", b"x", "Expect: 100-continue"),
        post("/a", b"x").replace(b"1.1", b"1.0"),
    ):
        reader = Collector()
        reader.data_received(data)
        assert reader.requests
        assert not reader.learned
    reader = Collector()
    reader.data_received(REQUEST)
    head = REQUEST[: REQUEST.index(b"{")]
    assert reader.learned == [(head, b"/a/predict", 14)]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post("/a", b"x" * 1001), 413),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 413),
        (b"POST /a HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES, 431),
        (b"POST /" + b"a" * MAX_HEAD_BYTES, 431),
        (b"no http\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
def test_refusals_are_final(data, status):
    """After a refusal nothing more is read."""
    reader = Collector()
    reader.data_received(data)
    reader.data_received(REQUEST)
    reader.refuse(500, "again")
    assert [given[0] for given in reader.refusals] == [status]
    assert not reader.requests


def test_a_body_of_exactly_the_limit_is_taken():
    """The bound is the last size that is allowed, in one piece or in many."""
    data = post("/a", b"x" * 1000)
    for size in (50, 5000):
        reader = Collector()
        for at in range(0, len(data), size):
            reader.data_received(data[at : at + size])
        assert len(reader.requests[0].body) == 1000


def test_what_follows_a_refused_request_in_one_read_is_dropped():
    """The parser goes on to the end of what it was given; none of it is a request."""
    reader = Collector()
    reader.data_received(post("/a", b"x" * 2000) + REQUEST)
    assert not reader.requests
    assert len(reader.refusals) == 1


def test_an_error_of_our_own_ends_the_connection(caplog):
    """A fault in handling a request is logged and does not leave the client waiting."""

    class Broken(Collector):
        def on_request(self, request):  # noqa: ARG002 - the base names it
            raise RuntimeError("ours")

    reader = Broken()
    aborted = []
    reader.transport = SimpleNamespace(abort=lambda: aborted.append(True))
    reader.data_received(REQUEST)
    assert aborted == [True]
    assert "could not be handled" in caplog.text
    reader = Broken()
    reader.transport = None
    reader.data_received(REQUEST)
    assert not reader.refusals


def test_the_base_leaves_requests_to_others():
    """The three outcomes are a subclass's."""
    reader = RequestReader(Collector()._server)
    with pytest.raises(NotImplementedError):
        reader.on_request(None)
    with pytest.raises(NotImplementedError):
        reader.predict(None, b"")
    with pytest.raises(NotImplementedError):
        reader.on_refusal(400, "")
    assert isinstance(reader, asyncio.Protocol)

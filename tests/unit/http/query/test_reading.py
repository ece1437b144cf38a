"""Bytes to requests, without a server."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.http.query import reading
from servd.http.query.cors import Cors
from servd.http.query.reading import MAX_AHEAD_BYTES, MAX_HEAD_BYTES, RequestReader
from tests.serving import post


class Transport:
    """Knows whether it reads."""

    def __init__(self):
        self.is_on = True
        self.written = []
        self.write = self.written.append
        self.is_aborted = False

    def pause_reading(self):
        """Read no more."""
        assert self.is_on
        self.is_on = False

    def resume_reading(self):
        """Read again."""
        assert not self.is_on
        self.is_on = True

    def is_closing(self):
        """Whether it was told to close."""
        return self.is_aborted

    def abort(self):
        """Close."""
        self.is_aborted = True


class Collector(RequestReader):
    """Keeps requests and refusals; with `is_slow` each request is answered by `done` only."""

    def __init__(self, limit_bytes=1000, *, is_slow=False, clock=lambda: 0.0, wanted=()):
        server = SimpleNamespace(
            second=5,
            max_body_bytes=limit_bytes,
            known_heads={},
            known_long={},
            heads=None,
            cors=Cors(()),
            engine=SimpleNamespace(clock=clock, web={}),
            is_draining=False,
            wanted_headers=dict(wanted),
            wanted_lengths=frozenset(map(len, wanted)),
        )
        super().__init__(server)
        self.transport = Transport()
        self.requests = []
        self.refusals = []
        self.known = []
        self.faults = []
        self.ends = 0
        self.is_slow = is_slow

    def on_request(self, request):
        """Keep a request."""
        self.requests.append(request)
        self.is_busy = self.is_slow

    def done(self):
        """Answer the request."""
        self.is_busy = False
        self.read_on()

    def on_refusal(self, status, cause):
        """Keep a refusal."""
        self.refusals.append((status, cause))

    def on_end(self):
        """Count ends."""
        self.ends += 1

    def on_fault(self, error):
        """Keep a fault."""
        self.faults.append(error)
        self.is_busy = False

    def predict(self, endpoint, body):
        """Keep a request whose head was known."""
        self.known.append((endpoint, body))


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
    """Heads in pieces, of bodies in chunks or with a demand teach nothing."""
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    for data in (
        chunked,
        b"GET / HTTP/1.1\r\n\r\n",
        post("/a", b"x", "Connection: close"),
        post("/a", b"x", "Content-Encoding: gzip"),
        post("/a", b"x", "Expect: 100-continue"),
        post("/a", b"x").replace(b"1.1", b"1.0"),
    ):
        reader = Collector()
        reader.data_received(data)
        assert [request.head for request in reader.requests] == [b""]
    reader = Collector()
    reader.data_received(REQUEST[:30])
    reader.data_received(REQUEST[30:])
    assert reader.requests[0].head == b""
    head = REQUEST[: REQUEST.index(b"{")]
    for pieces in ((REQUEST,), (head + b"{", REQUEST[len(head) + 1 :])):
        reader = Collector()
        for piece in pieces:
            reader.data_received(piece)
        (request,) = reader.requests
        assert (request.head, request.length) == (head, 14)


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


def test_an_error_of_our_own_is_handed_over():
    """A fault in handling a request is told to the subclass; the request behind it is read."""

    class Broken(Collector):
        def on_request(self, request):
            super().on_request(request)
            if len(self.requests) == 1:
                raise RuntimeError("ours")

    reader = Broken()
    with asyncio.Runner() as runner:
        runner.run(received(reader, REQUEST + REQUEST))
    assert [str(error) for error in reader.faults] == ["ours"]
    assert len(reader.requests) == 2


async def received(reader, data):
    """Hand data over within a loop, and let it take its turns."""
    reader.data_received(data)
    for _ in range(1000):
        await asyncio.sleep(0)


def test_an_error_within_the_parser_ends_the_reading(monkeypatch):
    """Where the parser then is nobody knows, so nothing more is read."""

    def broken(self, name, value):  # noqa: ARG001 - httptools' signature
        raise RuntimeError("ours")

    monkeypatch.setattr(Collector, "on_header", broken, raising=False)
    reader = Collector()
    reader.data_received(REQUEST + REQUEST)
    assert [str(error) for error in reader.faults] == ["ours"]
    assert not reader.requests


def test_the_base_leaves_requests_to_others():
    """The outcomes are a subclass's."""
    reader = RequestReader(Collector()._server)
    for call in (
        lambda: reader.on_request(None),
        lambda: reader.predict(None, b""),
        lambda: reader.on_refusal(400, ""),
        lambda: reader.on_fault(ValueError()),
        reader.on_end,
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert isinstance(reader, asyncio.Protocol)


PARTS = st.sampled_from(
    [
        REQUEST,
        post("/b", b"x" * 300),
        post("/c", b"\r\n\r\nGET /no HTTP/1.1\r\n\r\n"),
        b"GET /d HTTP/1.1\r\n\r\n",
        (
            b"\r\n\r\nPOST /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4\r\n\r\n\r\n\r\n1;x=y\r\nz\r\n0\r\nT: 1\r\n\r\n"
        ),
        b"POST /f HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi",
    ]
)


@given(st.lists(PARTS, max_size=6), st.lists(st.integers(1, 90), max_size=60))
def test_any_cuts_give_the_same_requests(parts, sizes):
    """How TCP cuts a pipeline does not matter, and each request is taken alone and in order."""
    whole = [one for part in parts for one in requests_of([part])]
    data, pieces = b"".join(parts), []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    assert requests_of([*pieces, data]) == whole


def requests_of(pieces):
    """Return what is known of the requests that pieces hold, each answered before the next."""
    reader = Collector(is_slow=True)
    for piece in pieces:
        reader.data_received(piece)
    while reader.is_busy:
        reader.done()
    assert not reader.refusals
    assert not reader.has_more
    return [(one.url, one.method, one.body, one.is_last) for one in reader.requests]


def head_of(size):
    """Return a request with a head of exactly so many bytes."""
    head = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nX: \r\n\r\n"
    return head.replace(b"X: ", b"X: " + b"x" * (size - len(head))) + b"{}"


@pytest.mark.parametrize("cut", [1, 7, 4093, MAX_HEAD_BYTES - 3, MAX_HEAD_BYTES - 1, 10**6])
@pytest.mark.parametrize("before", [b"", b"\r\n", REQUEST])
def test_the_limit_of_a_head_is_exact(cut, before):
    """A head of the limit is taken and one of a byte more refused, in whatever pieces it comes."""
    for size, is_taken in ((MAX_HEAD_BYTES, True), (MAX_HEAD_BYTES + 1, False), (60_000, False)):
        reader = Collector()
        data = before + head_of(size)
        for at in range(0, len(data), cut):
            reader.data_received(data[at : at + cut])
        taken = [one.url for one in reader.requests if one.url == b"/a"]
        assert taken == [b"/a"] * is_taken
        assert [status for status, _ in reader.refusals] == [431] * (not is_taken)


def test_what_waits_is_bounded():
    """Reading stops when enough waits behind a request, and goes on when it was answered."""
    reader = Collector(is_slow=True)
    count = 0
    while reader.transport.is_on:
        reader.data_received(REQUEST)
        count += 1
    assert len(REQUEST) * (count - 1) >= MAX_AHEAD_BYTES
    reader.data_received(REQUEST * 5)  # what the loop had in hand when it was told to stop
    while reader.is_busy:
        reader.done()
    assert len(reader.requests) == count + 5
    assert reader.transport.is_on


def test_reading_goes_on_when_no_reason_is_left_to_hold_it():
    """Two reasons at once: the one that is left holds, in whichever order they go."""
    reader = Collector(is_slow=True)
    for _ in range(2):
        reader.data_received(REQUEST * (MAX_AHEAD_BYTES // len(REQUEST) + 2))
        assert not reader.transport.is_on
        reader.pause_writing()
        taken = len(reader.requests)
        reader.done()
        reader.read_on()
        assert len(reader.requests) == taken  # nothing more is answered either
        assert not reader.transport.is_on
        reader.resume_writing()
        assert len(reader.requests) == taken + 1
        while reader.is_busy:
            reader.done()
        assert reader.transport.is_on


def test_time_that_nobody_listened_is_not_held_against_the_client():
    """A body that was on its way when reading was held has its whole time again."""
    reader = Collector()
    reader.data_received(REQUEST[:-5])
    assert (reader.began, reader.since) == (5, 5)
    reader.pause_writing()
    reader._server.second = 50
    reader.resume_writing()
    assert (reader.began, reader.since) == (50, 50)


def test_others_have_their_turn():
    """Of many requests that come at once only some are taken before the loop goes on."""
    seconds = iter(range(10**6))
    reader = Collector(clock=lambda: next(seconds) * reading.TURN_S * 0.6)

    async def main():
        reader.data_received(REQUEST * 100)
        counts = [len(reader.requests)]
        while counts[-1] < 100:
            reader.data_received(b"")
            await asyncio.sleep(0)
            counts.append(len(reader.requests))
        return counts

    with asyncio.Runner() as runner:
        counts = runner.run(main())
    steps = [after - before for before, after in zip([0, *counts], counts, strict=False)]
    assert max(steps) <= 4
    assert not reader.has_more


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (b"", "end"),
        (REQUEST, "end"),
        (REQUEST + b"\r\n", "end"),
        (REQUEST[:-1], 400),
        (b"GET / HT", 400),
        (REQUEST + REQUEST[:20], 400),
    ],
)
@pytest.mark.parametrize("is_slow", [False, True])
def test_a_client_that_closes_its_side(data, outcome, is_slow):
    """It is answered all that it asked; a request that it did not finish is told."""
    reader = Collector(is_slow=is_slow)
    reader.data_received(data)
    assert reader.eof_received()
    if reader.is_busy:
        assert not reader.ends
        assert not reader.refusals
        reader.done()
    assert reader.ends == (outcome == "end")
    assert [status for status, _ in reader.refusals] == [400] * (outcome == 400)


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["CONTENT-TYPE: Application/JSON", "Accept: */*"], None),
        (["Content-Type: image/png", "Accept: */*"], {"content-type": "image/png"}),
        (
            ["cache-control: no-cache", "Cache-Control: No-Store"],
            {"cache-control": "no-cache, No-Store"},
        ),
        (["X-Other: 1", "Authorization: y"], None),
        (["X-Missing: application/json"], {"x-missing": "application/json"}),
    ],
)
def test_headers_that_say_something_unusual_are_kept(lines, kept):
    """What all clients send leaves nothing to look at; names and values are of any case."""
    usual = {b"content-type": {b"application/json"}, b"accept": {b"*/*"}, b"cache-control": set()}
    reader = Collector(wanted=usual | {b"x-missing": set()})
    reader.data_received(post("/a/predict", b"{}", *lines))
    (request,) = reader.requests
    assert request.headers == kept

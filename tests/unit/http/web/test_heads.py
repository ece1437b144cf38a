"""Heads as they are passed on, without a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.http.web.heads import Peer, Place, is_idempotent, peer_of, request_head, response_head

FAR = Peer("192.0.2.7", 5000, "198.51.100.1", 1337, is_near=False)
NEAR = Peer("127.0.0.1", 5000, "127.0.0.1", 1337, is_near=True)
PLACE = Place(b"/app", b"/x?y=1")


def lines(head):
    """Return the lines of a head as pairs, the first apart."""
    first, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    return first, [tuple(line.split(": ", 1)) for line in rest]


def test_a_head_says_where_the_request_came_from_first():
    """The application's wrapper takes that line away; the others are for who reads them."""
    first, told = lines(request_head(b"GET", PLACE, [(b"Host", b"h"), (b"A", b"b")], FAR))
    assert first == "GET /x?y=1 HTTP/1.1"
    assert told == [
        ("x-servd-origin", "192.0.2.7 5000 198.51.100.1 1337 http /app"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "h"),
        ("X-Forwarded-Prefix", "/app"),
        ("Host", "h"),
        ("A", "b"),
    ]


FORWARDED = [
    (b"X-Forwarded-For", b"203.0.113.9"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"example.org"),
    (b"X-Forwarded-Prefix", b"/ml/"),
    (b"Forwarded", b"for=203.0.113.9"),
]


def test_what_a_client_elsewhere_says_of_itself_does_not_count():
    """It could name any address."""
    _, told = lines(request_head(b"GET", PLACE, FORWARDED, FAR))
    assert dict(told)["X-Forwarded-For"] == "192.0.2.7"
    assert dict(told)["x-servd-origin"].startswith("192.0.2.7 5000 ")
    assert "https" not in str(told)
    assert "Forwarded" not in dict(told)


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (b"203.0.113.9", "203.0.113.9 0"),
        (b"203.0.113.9, 198.51.100.2", "198.51.100.2 0"),
        (b"203.0.113.9, 127.0.0.1, ::1", "203.0.113.9 0"),
        (b"127.0.0.1", "127.0.0.1 5000"),
        (b"a b, , \xff", "\xff 0"),
        (b"", "127.0.0.1 5000"),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy_here(chain, client):
    """A client puts what it likes at the front of the chain; a proxy adds who asked it."""
    _, told = lines(request_head(b"GET", PLACE, [(b"X-Forwarded-For", chain)], NEAR))
    assert dict(told)["x-servd-origin"].startswith(f"{client} ")


def test_a_neighbours_word_counts():
    """A reverse proxy on the same machine: scheme, host and the path that it is below."""
    _, told = lines(request_head(b"GET", PLACE, FORWARDED, NEAR))
    assert dict(told)["x-servd-origin"] == "203.0.113.9 0 127.0.0.1 1337 https /ml/app"
    assert dict(told)["X-Forwarded-Prefix"] == "/ml/app"
    assert dict(told)["X-Forwarded-Host"] == "example.org"


def test_the_offer_of_another_protocol_is_made_again():
    """With the one token that it needs."""
    headers = [(b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"websocket")]
    _, told = lines(request_head(b"GET", PLACE, headers, FAR))
    assert told[-2:] == [("Connection", "Upgrade"), ("Upgrade", "websocket")]


def test_a_body_in_chunks_stays_one():
    """Its length nobody knows."""
    _, told = lines(request_head(b"POST", PLACE, [(b"Transfer-Encoding", b"chunked")], FAR))
    assert told[-1] == ("Transfer-Encoding", "chunked")


def test_an_answer_loses_what_its_connection_names():
    """RFC 9110 §7.6.1."""
    headers = [(b"Connection", b"close, X-A"), (b"X-A", b"1"), (b"Keep-Alive", b"a"), (b"B", b"2")]
    head = response_head(200, b"", headers, b"Connection: close\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nB: 2\r\nConnection: close\r\n\r\n"
    assert response_head(299, b"", []) == b"HTTP/1.1 299 \r\n\r\n"
    assert response_head(200, b"Fine", []) == b"HTTP/1.1 200 Fine\r\n\r\n"


def test_a_connection_header_takes_away_neither_length_nor_host():
    """A body without its length would be the next request, of any origin."""
    headers = [
        (b"Host", b"h"),
        (b"Connection", b"Content-Length, host, X-A, keep-alive"),
        (b"Content-Length", b"3"),
        (b"X-A", b"1"),
    ]
    _, told = lines(request_head(b"POST", PLACE, headers, FAR))
    assert told[-2:] == [("Host", "h"), ("Content-Length", "3")]
    answer = response_head(200, b"", headers)
    assert answer == b"HTTP/1.1 200 OK\r\nHost: h\r\nContent-Length: 3\r\n\r\n"


_NAMES = st.sampled_from(
    [
        b"Connection",
        b"TE",
        b"X-Servd-Origin",
        b"x-forwarded-for",
        b"Upgrade",
        b"A",
        b"Host",
        b"Keep-Alive",
    ]
)
_VALUES = st.binary(max_size=20).map(lambda text: text.translate(None, b"\r\n\0"))


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8), st.sampled_from([NEAR, FAR]))
def test_whatever_is_sent_a_head_stays_one(headers, peer):
    """One end, one origin, which comes first and has its five or six words."""
    head = request_head(b"GET", PLACE, headers, peer)
    assert head.count(b"\r\n\r\n") == 1
    assert head.lower().count(b"\r\nx-servd-origin:") == 1
    origin = head.split(b"\r\n")[1].decode("latin-1").removeprefix("x-servd-origin: ").split(" ")
    assert len(origin) == 6
    int(origin[1])


def test_ends_of_connections():
    """IPv4 and IPv6, with a zone; of others nothing is known."""
    assert peer_of(("127.0.0.1", 1), ("127.0.0.1", 2)) == Peer(
        "127.0.0.1", 1, "127.0.0.1", 2, is_near=True
    )
    assert peer_of(("fe80::1%eth0", 1, 0, 3), ("::", 2)).host == "fe80::1"
    assert peer_of(("::ffff:127.0.0.1", 1), None).is_near
    assert not peer_of(("192.0.2.1", 1), None).is_near
    assert is_idempotent(b"GET")
    assert not is_idempotent(b"POST")

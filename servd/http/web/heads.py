"""The heads of requests and answers as they are passed on. Pure. Used by both sides.

What is between two neighbours only (RFC 9110 §7.6.1) is left out; where a request comes from is put
in. A client's own word on that counts where it is on this machine, as a reverse proxy is.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple

Header = tuple[bytes, bytes]

ORIGIN: Final = b"x-servd-origin"
"""What model_runtime/web/origin.py reads: it has all that an application is to see of a client."""

BETWEEN: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"),
        *(b"transfer-encoding", b"proxy-authorization", b"proxy-authenticate"),
    }
)
"""What is for the next neighbour only."""
_FORWARDED: Final = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", ORIGIN}
)
_ASIDE: Final = BETWEEN | _FORWARDED | {b"forwarded"}
_NEVER_HOP: Final = frozenset({b"content-length", b"host"})
"""What ends a message, and whom it is for, no Connection header takes away (RFC 9110 §7.6.1).

Without its length a body would be read as the next request, by whoever reads it.
"""
_USUAL_TOKENS: Final = frozenset({b"keep-alive", b"close", b"upgrade", b"te", b""})
_SCHEMES: Final = frozenset({b"http", b"https"})
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110 §9.2.2: to ask such a request twice is as good as once."""
_MAX_WORD: Final = 512


@dataclass(frozen=True, slots=True)
class Peer:
    """A client's end and the server's end of a connection; `is_near`: both are on this machine."""

    host: str
    port: int
    server: str
    server_port: int
    is_near: bool


class Place(NamedTuple):
    """Where a request is for: the path below which its application is, and what is left of it."""

    prefix: bytes
    target: bytes


def peer_of(peername: object, sockname: object) -> Peer:
    """Return the two ends that a socket tells."""
    host, port = _end(peername)
    server, server_port = _end(sockname)
    return Peer(host, port, server, server_port, is_near=_is_loopback(host))


def is_idempotent(method: bytes) -> bool:
    """Tell whether a request may be asked again that may have been answered unheard."""
    return method in _IDEMPOTENT


def request_head(
    method: bytes, place: Place, headers: Sequence[Header], peer: Peer, *, dropped: bytes = b""
) -> bytes:
    """Return the head of a request for a replica; a body in chunks is sent on in chunks.

    `dropped` is the name of one more header that is not the application's.
    """
    listed: list[bytes] = []
    aside: dict[bytes, bytes] = {}
    is_chunked = False
    for name, value in headers:
        key = name.lower()
        if key not in _ASIDE and key != dropped:
            listed.append(b"%b: %b\r\n" % (name, value))
        elif key == b"transfer-encoding":
            is_chunked = True
        else:
            aside[key] = b"%b, %b" % (aside[key], value) if key in aside else value
    tokens = aside.get(b"connection", b"").lower()
    if tokens and not _USUAL_TOKENS.issuperset(_words(tokens)):
        named = _words(tokens) - _NEVER_HOP
        listed = [line for line in listed if line.partition(b":")[0].lower() not in named]
    if b"upgrade" in aside and b"upgrade" in tokens:
        listed.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % aside[b"upgrade"])
    if is_chunked:
        listed.append(b"Transfer-Encoding: chunked\r\n")
    host = next((value for name, value in headers if name.lower() == b"host"), b"")
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (
        method,
        place.target,
        _forwarded(aside, place.prefix, host, peer),
        b"".join(listed),
    )


def response_head(
    status: int, reason: bytes, headers: Iterable[Header], extra: bytes = b""
) -> bytes:
    """Return the head of an answer for a client, without what is for the next neighbour only."""
    headers = list(headers)
    named = [value for name, value in headers if name.lower() == b"connection"]
    left_out = BETWEEN.union(*(_words(value.lower()) for value in named)) - _NEVER_HOP
    lines = [
        b"%b: %b\r\n" % (name, value) for name, value in headers if name.lower() not in left_out
    ]
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (
        status,
        reason or _reason(status),
        b"".join(lines),
        extra,
    )


def _forwarded(aside: dict[bytes, bytes], prefix: bytes, host: bytes, peer: Peer) -> bytes:
    """Return the lines that say where a request comes from."""
    if not peer.is_near or _FORWARDED.isdisjoint(aside):
        return _lines(peer, b"", b"http", host, prefix)
    scheme = aside.get(b"x-forwarded-proto", b"").rpartition(b",")[2].strip().lower()
    above = aside.get(b"x-forwarded-prefix", b"").strip().rstrip(b"/")
    return _lines(
        peer,
        aside.get(b"x-forwarded-for", b"")[:_MAX_WORD],
        scheme if scheme in _SCHEMES else b"http",
        aside.get(b"x-forwarded-host", host)[:_MAX_WORD],
        (above if above.startswith(b"/") and b" " not in above else b"") + prefix,
    )


@lru_cache(1024)
def _lines(peer: Peer, chain: bytes, scheme: bytes, host: bytes, prefix: bytes) -> bytes:
    client = peer.host.encode()
    return b"".join(
        (
            b"%b: %b %b %d %b %b\r\n"
            % (ORIGIN, _client(chain, peer), *_server(peer), scheme, prefix),
            b"X-Forwarded-For: %b\r\n" % (b"%b, %b" % (chain, client) if chain else client),
            b"X-Forwarded-Proto: %b\r\n" % scheme,
            b"X-Forwarded-Host: %b\r\n" % host if host else b"",
            b"X-Forwarded-Prefix: %b\r\n" % prefix if prefix else b"",
        )
    )


def _client(chain: bytes, peer: Peer) -> bytes:
    """Return the address and the port of the client: the nearest one that is no proxy of ours."""
    for text in reversed(chain.decode("latin-1").split(",")):
        word = text.strip()
        if word and " " not in word and not _is_loopback(word):
            return b"%b 0" % word.encode("latin-1")
    return b"%b %d" % (peer.host.encode(), peer.port)


def _server(peer: Peer) -> tuple[bytes, int]:
    return peer.server.encode(), peer.server_port


def _words(value: bytes) -> set[bytes]:
    return {word.strip() for word in value.split(b",")}


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def _end(name: object) -> tuple[str, int]:
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]).partition("%")[0], int(name[1])
    return "127.0.0.1", 0


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)

"""One application in one wire format: what a request's path, and its head, come to.

Made by server.py when a path or a head is first seen, and kept by it while the application
lives.
"""

from collections.abc import Iterable

from servd.engine.route import Route
from servd.http.codecs.base import Asked, Codec, Decode, Head
from servd.http.wire import CACHE_HIT, Heads


class Endpoint:
    """Everything that answering one kind of request takes, looked up once.

    `decode` makes rows of bodies, `render` an answer of an output, for the head of a request like
    this. `key` is what bodies are known by in the cache, None where they are not. `heads` are those
    of answers, `ok_heads` of good ones, `hit_heads` of good ones from the cache; HEAD has no more
    (`has_body`). What is known of an input is forgotten first where the request `is_fresh`. An
    endpoint ends with its route (`Route.is_open`).
    """

    __slots__ = (
        "begins",
        "codec",
        "decode",
        "has_body",
        "head",
        "heads",
        "hit_heads",
        "is_fresh",
        "key",
        "kind",
        "ok_heads",
        "render",
        "route",
    )

    def __init__(self, route: Route, codec: Codec, head: Head, heads: Heads) -> None:
        """Look everything up.

        Raises:
            RequestError: the codec does not take requests with such a head.
        """
        self.route = route
        self.codec = codec
        self.head = head
        self.is_fresh = codec.is_fresh(head)
        self.key = None if self.is_fresh else codec.body_key(head)
        decode = codec.decoder(route, head)
        self.decode = self._freshly(decode) if self.is_fresh else decode
        self.render = codec.renderer(head)
        self.kind = codec.kind(head)
        self.heads = heads
        self.ok_heads = heads.ok(self.kind)
        self.hit_heads = heads.ok(self.kind, CACHE_HIT)
        self.begins = codec.begins
        self.has_body = head.method != "HEAD"

    def renewed(self, rows: Iterable[bytes]) -> Iterable[bytes]:
        """Give inputs one after the other, for a request that `is_fresh` forgotten before."""
        return map(self._forgotten, rows) if self.is_fresh else rows

    def _forgotten(self, row: bytes) -> bytes:
        self.route.renew(row, b"")
        return row

    def _freshly(self, decode: Decode) -> Decode:
        def decode_and_forget(body: bytes) -> bytes | Asked:
            found = decode(body)
            rows = found if isinstance(found, bytes) else found.rows
            for row in [rows] if isinstance(rows, bytes) else rows:
                self.route.renew(row, body)
            return found

        return decode_and_forget

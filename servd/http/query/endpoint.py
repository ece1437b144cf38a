"""One application in one wire format: what a request's path, and its head, come to.

Made by server.py when a path or a head is first seen, and kept by it while the application
lives.
"""

from servd.engine.route import Route
from servd.http.codecs.base import Codec, Head
from servd.http.wire import Heads


class Endpoint:
    """Everything that answering one kind of request takes, looked up once.

    `decode` makes rows of bodies, `render` an answer of an output, for the head of a request like
    this. `key` is what bodies are known by in the cache, None where they are not. `ok_heads` are
    those of good answers. An endpoint ends with its route (`Route.is_open`).
    """

    __slots__ = ("begins", "codec", "decode", "head", "key", "kind", "ok_heads", "render", "route")

    def __init__(self, route: Route, codec: Codec, head: Head, heads: Heads) -> None:
        """Look everything up.

        Raises:
            RequestError: the codec does not take requests with such a head.
        """
        self.route = route
        self.codec = codec
        self.head = head
        self.key = codec.body_key(head)
        self.decode = codec.decoder(route, head)
        self.render = codec.renderer(head)
        self.kind = codec.kind(head)
        self.ok_heads = heads.ok(self.kind)
        self.begins = codec.begins

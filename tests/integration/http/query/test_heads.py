"""Requests that are ordinary are answered by their URL, others by what their heads say."""

import pytest

from servd.http.codecs.base import NO_HEAD
from servd.http.codecs.clipper import CLIPPER
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving


class Seeing(type(CLIPPER)):
    """Clipper's format, keeping the heads that it is asked for."""

    def __init__(self):
        self.heads = []

    def decoder(self, takes, head):
        """Keep a head."""
        self.heads.append(head)
        return super().decoder(takes, head)


@pytest.mark.parametrize(
    ("path", "lines", "seen"),
    [
        ("/app/predict", [], None),
        ("/app/predict", ["Content-Type: application/json; charset=UTF-8", "Accept: */*"], None),
        (
            "/app/predict",
            ["content-type: application/x-www-form-urlencoded"],
            ("", {"content-type": "application/x-www-form-urlencoded"}),
        ),
        ("/app/predict", ["X-Request-Id: 7", "User-Agent: curl/8", "Accept-Encoding: gzip"], None),
        ("/app/predict?a=1&b", [], ("a=1&b", {})),
        ("/app/predict", ["Accept: text/html, */*"], ("", {"accept": "text/html, */*"})),
        ("/app/predict", ["Content-Type: image/png"], ("", {"content-type": "image/png"})),
        ("/app/predict?a", ["Accept: a/b", "Accept: c/d"], ("a", {"accept": "a/b, c/d"})),
    ],
)
def test_a_codec_is_shown_the_heads_that_say_something(path, lines, seen):
    """Once each: the same head again, to the byte, needs nothing to be looked at."""

    async def main():
        codec = Seeing()
        with ScriptedReplica() as replica:
            async with serving(codecs=(codec,)) as served:
                await served.attach(replica, served.deploy())
                client = await served.client()
                for value in (1, 2, 3):
                    client.send(post(path, {"input": [value]}, *lines))
                    assert (await client.answer()).json["output"] == value
                (head,) = codec.heads
                if seen is None:
                    assert head is NO_HEAD
                    assert list(served.server.endpoints) == [path.encode()]
                else:
                    assert (head.query, head.headers, head.method) == (*seen, "POST")
                    assert list(served.server.endpoints) == ([path.encode()] if not seen[1] else [])
                assert len(served.server.known_heads) == 1

    run(main())

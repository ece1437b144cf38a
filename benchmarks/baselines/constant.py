"""The ceiling: servd's HTTP layer (httptools on uvloop) answering a constant, with servd's head.

Run as `python -m benchmarks.baselines.constant PORT` by benchmarks/servers.py.
"""

import asyncio
import sys
from email.utils import formatdate
from typing import cast

import httptools
import uvloop

BODY = b'{"query_id":12345,"output":6.6,"default":false}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %b\r\nContent-Length: %d\r\n\r\n%b"
) % (formatdate(usegmt=True).encode(), len(BODY), BODY)


class Constant(asyncio.Protocol):
    """A connection: parses requests in full and answers each alike."""

    __slots__ = ("body", "parser", "transport", "url")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to parse."""
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Keep the path."""
        self.url = url

    def on_body(self, body: bytes) -> None:
        """Keep the body."""
        self.body = body

    def on_message_complete(self) -> None:
        """Answer."""
        self.transport.write(ANSWER)


async def serve(port: int) -> None:
    """Answer until killed."""
    server = await asyncio.get_running_loop().create_server(
        Constant, "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

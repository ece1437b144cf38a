"""Bundles over HTTP: the body of an upload, the answer of a download. Used by api.py."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import web

from servd.deploying.bundles import BundleStore
from servd.http.admin.problems import BODY_TIMEOUT_S, RequestRefusedError

_CHUNK: Final = 256 * 1024


async def send_bundle(request: web.Request, bundles: BundleStore) -> web.StreamResponse:
    """Answer a bundle as an uncompressed tar, equal bytes for equal bundles.

    Raises:
        NotFoundError: there is none of that digest.
    """
    digest = request.match_info["digest"]
    async with bundles.packed(digest) as tar:
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(tar.size)}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        chunks = tar.chunks()
        while chunk := await asyncio.to_thread(_next, chunks):
            await response.write(chunk)
    return response


def _next(chunks: Iterator[bytes]) -> bytes:
    # Between two files there may be nothing to fill up.
    return next((chunk for chunk in chunks if chunk), b"")


async def chunks_of(request: web.Request) -> AsyncIterator[bytes]:
    """Yield an upload piece by piece.

    Raises:
        RequestRefusedError: it does not come in time, or cannot be read.
    """
    while True:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                chunk = await request.content.read(_CHUNK)
        except TimeoutError as error:
            raise RequestRefusedError(408, "the bundle did not arrive in time") from error
        except web.RequestPayloadError as error:
            raise RequestRefusedError(400, f"the bundle cannot be read: {error}") from error
        if not chunk:
            return
        yield chunk

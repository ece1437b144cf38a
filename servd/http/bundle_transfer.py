"""Bundles over HTTP: the body of an upload, the answer of a download. Used by api.py."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from servd.bundles import BundleStore
from servd.errors import NotFoundError
from servd.http.problems import BODY_TIMEOUT_S, RequestRefusedError

_CHUNK: Final = 256 * 1024


async def send_bundle(request: web.Request, bundles: BundleStore) -> web.StreamResponse:
    """Answer a bundle as an uncompressed tar, equal bytes for equal bundles.

    Raises:
        NotFoundError: there is none of that digest.
    """
    digest = request.match_info["digest"]
    if not bundles.has(digest):
        raise NotFoundError(f"there is no bundle '{digest}'")
    async with bundles.packed(digest) as tar:
        size = (await asyncio.to_thread(tar.stat)).st_size
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with tar.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await response.write(chunk)
    return response


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

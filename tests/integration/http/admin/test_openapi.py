"""The document of the admin API before its router."""

import json

from servd.http.admin.openapi import PREFIX, document


class _NoEvents:
    """A handler that is routed and never called."""

    async def events(self, _request):
        raise NotImplementedError


class _NoLogs:
    """Handlers that are routed and never called."""

    async def daemon(self, _request):
        raise NotImplementedError

    model = daemon


def test_document_and_router_agree(scenario, tmp_path):
    """Each documented call is routed and each route of /api/v1 is documented."""

    async def steps(parts):
        assert await parts.call("GET", "/api/v1/openapi.json") == (200, json.loads(document()))
        documented = {
            (method.upper(), PREFIX + path)
            for path, item in json.loads(document())["paths"].items()
            for method in item
        }
        routed = set()
        app = parts.server._make_app(None, _NoLogs(), _NoEvents())
        for route in app.router.routes():
            path = route.resource.canonical
            if path.startswith(PREFIX):
                routed.add((route.method, path))
        assert routed == documented

    scenario(tmp_path, steps)

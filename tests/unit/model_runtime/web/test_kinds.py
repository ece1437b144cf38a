# ruff: noqa: D101, D102, D103 - what is looked at are parameters
"""Web applications are told from other values by how they are called."""

import functools
import types

import pytest

from model_runtime.manifest import ASGI, WSGI
from model_runtime.web.kinds import kind_of, named


class Asgi:
    async def __call__(self, scope, receive, send):
        pass


class Older:
    def __call__(self, scope, receive, send):
        """Return what is awaited, as middleware does."""


class Wsgi:
    def __call__(self, environ, start_response):
        pass


class Model:
    def __call__(self, inputs):
        pass


async def asgi(scope, receive, send):
    pass


def wsgi(env, start_response):
    pass


def predict(inputs):
    pass


def pair(left, right):
    pass


def further(scope, receive, send, more):
    pass


def usual(environ, start_response, exc_info=None):
    pass


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Asgi(), ASGI),
        (Older(), ASGI),
        (asgi, ASGI),
        (functools.partial(asgi), ASGI),
        (Asgi().__call__, ASGI),
        (Wsgi(), WSGI),
        (wsgi, WSGI),
        (usual, WSGI),
        (Asgi, None),
        (Wsgi, None),
        (Model(), None),
        (predict, None),
        (pair, None),
        (further, None),
        (print, None),
        (len, None),
        (3, None),
        (types, None),
        (None, None),
    ],
)
def test_an_application_is_what_is_called_like_one(value, kind):
    """Instances, functions, methods; no class, no model, nothing else that can be called."""
    assert kind_of(value) == kind


def test_frameworks_objects_are_known_by_the_same():
    """Those that are installed; none is known by its name."""
    fastapi = pytest.importorskip("fastapi")
    flask = pytest.importorskip("flask")
    litestar = pytest.importorskip("litestar")
    assert kind_of(fastapi.FastAPI()) == ASGI
    assert kind_of(litestar.Litestar([])) == ASGI
    assert kind_of(flask.Flask("x")) == WSGI
    assert kind_of(flask.request) is None  # there is none, and it says so by raising


def test_of_several_the_usual_names_come_first():
    """One object under two names is one; what is private is none."""
    app, router = Asgi(), Asgi()
    names = {"router": router, "predict": predict, "app": app, "application": app, "_x": Asgi()}
    assert named(names) == ["app", "router"]
    assert named({"router": router, "other": Wsgi()}) == ["router", "other"]

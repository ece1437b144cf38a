# ruff: noqa: ARG001 - applications are called with what they need not use
"""Startup and shutdown of applications, without a server."""

import asyncio

import pytest

from model_runtime.web.lifespan import Lifespan, StartupError


async def whole(scope, receive, send):
    """Start and end as the protocol has it."""
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["a"] = 1
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


async def unknown(scope, receive, send):
    """Know requests only."""
    assert scope["type"] == "http"


async def raising(scope, receive, send):
    """Raise in the startup."""
    await receive()
    raise ValueError("no database")


async def telling(scope, receive, send):
    """Tell a text and return."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback …\nKeyError: 'x'"})


async def both(scope, receive, send):
    """Tell a text and raise then, as Starlette does."""
    await telling(scope, receive, send)
    raise KeyError("x")


async def ending(scope, receive, send):
    """Return without a word."""
    await receive()


async def quitting(scope, receive, send):
    """End the program."""
    await receive()
    raise SystemExit(3)


def started(app):
    """Return an application's lifespan after its startup and its shutdown."""

    async def main():
        lifespan = Lifespan(app)
        await asyncio.wait_for(lifespan.startup(), 10)
        await asyncio.wait_for(lifespan.shutdown(), 10)
        return lifespan

    return asyncio.run(main())


@pytest.mark.parametrize("app", [whole, unknown, ending])
def test_one_that_has_nothing_to_say_is_started(app):
    """By the protocol, without knowing it, or by returning."""
    lifespan = started(app)
    assert lifespan.failure is None
    assert not lifespan.should_exit


def test_what_an_application_keeps_is_for_its_requests():
    """`state` is what requests get a copy of."""
    assert started(whole).state == {"a": 1}


@pytest.mark.parametrize(
    ("app", "kind"),
    [(raising, ValueError), (telling, StartupError), (both, KeyError), (quitting, SystemExit)],
)
def test_one_that_fails_says_why(app, kind):
    """What it raised, where it has; else what it told, whose last line is the message."""
    lifespan = started(app)
    assert lifespan.should_exit
    assert type(lifespan.failure) is kind
    if isinstance(lifespan.failure, StartupError):
        assert lifespan.failure.message == "the application's startup failed: KeyError: 'x'"
        assert lifespan.failure.traceback.startswith("Traceback")

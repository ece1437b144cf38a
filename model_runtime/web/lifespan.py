"""An application's startup and shutdown, as ASGI's lifespan protocol has them. Used by serving.py.

In the place of uvicorn's own, which takes an application that raises in its startup for one that
knows no startup, and only logs why. Whoever deploys an application is to be told.
https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from model_runtime.failure import MODEL_ERRORS, ModelFault

_HINT: Final = "this is raised when the application starts (its lifespan), before any request"

_RAISE_S: Final = 0.5

App = Callable[..., Awaitable[None]]


class StartupError(ModelFault):
    """The application did not start; the traceback is what it said of that."""


class Lifespan:
    """The lifespan of one application; what uvicorn asks of it is `startup`, `shutdown`, `state`.

    `failure` is what it raised where it did not start, `should_exit` that it did not.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._received: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._started = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_received = False
        self._is_over = False
        self.failure: BaseException | None = None
        self.should_exit = False
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Start the application; one that knows no lifespan is as well as started."""
        self._received.put_nowait({"type": "lifespan.startup"})
        # It lives as long as the application, and ends in `shutdown`.
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._started.wait()
        self.should_exit = self.failure is not None
        if self.should_exit:
            # Frameworks tell a text and raise then: the exception tells more.
            await asyncio.wait({self._task}, timeout=_RAISE_S)

    async def shutdown(self) -> None:
        """Have the application put away what it has opened."""
        if self._is_over:
            return
        self._received.put_nowait({"type": "lifespan.shutdown"})
        await self._ended.wait()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except MODEL_ERRORS as error:
            # One that raises before it asks for anything does not know this type of scope.
            if self._has_received and (self.failure is not None or not self._started.is_set()):
                self.failure = error
            elif self._started.is_set() and not isinstance(error, asyncio.CancelledError):
                sys.stderr.write(f"the application's shutdown failed: {error!r}\n")
        finally:
            self._is_over = True
            self._started.set()
            self._ended.set()

    async def _receive(self) -> dict[str, str]:
        self._has_received = True
        return await self._received.get()

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._started.set()
        elif kind == "lifespan.startup.failed":
            self.failure = told(str(message.get("message") or ""))
            self._started.set()
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            if message.get("message"):
                sys.stderr.write(f"the application's shutdown failed: {message['message']}\n")
            self._ended.set()


def told(text: str) -> StartupError:
    """Return the failure that an application tells by itself: frameworks send a traceback."""
    lines = text.strip().splitlines()
    last = lines[-1].strip() if lines else "it does not say why"
    return StartupError(
        f"the application's startup failed: {last}", text.strip() if len(lines) > 1 else "", _HINT
    )

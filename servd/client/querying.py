"""The queries of `servd.Client`: over connections that it keeps. Made by client.py alone."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from servd.client.admin import query_base
from servd.client.connections import Connections
from servd.client.exchange import Answer, LostError, Request
from servd.client.items import Items
from servd.client.queries import Queries, Send, Steps, Wait, stream_request
from servd.client.values import Prediction, Status
from servd.config import Config
from servd.errors import ServdError

T = TypeVar("T")


class Querying(ABC):
    """What asks applications; whoever extends it says where the daemon is."""

    def __init__(self, timeout_s: float, retries: int) -> None:
        self.timeout_s = timeout_s
        self._queries = Queries(retries)
        self._connections: Connections | None = None
        self._connecting = threading.Lock()

    @property
    @abstractmethod
    def config(self) -> Config:
        """The settings that are found here, with the token."""

    @property
    @abstractmethod
    def admin_url(self) -> str | None:
        """Where the daemon was said to be, if it was."""

    @abstractmethod
    def status(self) -> Status:
        """Return what the daemon is, and where it answers."""

    def close(self) -> None:
        """Close what is connected; the daemon goes on."""
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    @property
    def query_address(self) -> str:
        """Where queries are answered, as "host:port"."""
        return self._connected().address

    def _connected(self) -> Connections:
        with self._connecting:
            if self._connections is None:
                parts = urlsplit(query_base(self.status().query_url, self.admin_url))
                host, port = parts.hostname or "localhost", parts.port or 80
                self._connections = Connections(host, port, self.config.token)
            return self._connections

    def predict(
        self,
        app: str,
        input: Any,  # noqa: A002 - the query API's own word
        *,
        version: str | int | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Return an application's prediction for one input.

        Raises:
            QueryError: it was answered with an error (servd/client/failures.py has the classes).
            ThrottledError: it was not sent, as the daemon is overloaded.
            LostError, LateError: no answer came, or none in time.
        """
        return self._run(self._queries.predict(app, input, named(version)), timeout_s)

    def predict_batch(
        self,
        app: str,
        inputs: Any,
        *,
        version: str | int | None = None,
        timeout_s: float | None = None,
    ) -> list[Prediction]:
        """Return the predictions for several inputs, in their order.

        Raises:
            BatchFailedError: some have none; it has those of the others.
            QueryError, ThrottledError, LostError, LateError: as of `predict`.
        """
        return self._run(self._queries.predict_batch(app, inputs, named(version)), timeout_s)

    def stream(
        self,
        app: str,
        input: Any,  # noqa: A002 - as above
        *,
        version: str | int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Any]:
        """Yield what a model yields for one input, as it comes; of any other model its one output.

        Nothing may come for `timeout_s`. Close the iterator, or leave it, to stop the model.

        Raises:
            QueryError: it was answered with an error, or the stream broke off with one.
            ThrottledError, LostError, LateError: as of `predict`.
        """
        request = stream_request(app, input, named(version))
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        throttle = self._queries.admit(app)
        with self._connected().sending(request, limit_s) as (reading, pieces):
            items = Items(app, reading.answer, self._queries, throttle)
            for piece in pieces:
                yield from items.feed(piece)
            yield from items.finish()

    def metrics(self) -> dict[str, Any]:
        """Return the daemon's counters and latencies."""
        request = Request("GET", "/metrics")
        answer = self._run(self._queries.sending(request), None)
        found: dict[str, Any] = msgspec.json.decode(answer.body)
        return found

    def _run(self, steps: Steps[T], timeout_s: float | None) -> T:
        """Do what a query's steps say, and return what it comes to."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        deadline_s = time.monotonic() + limit_s
        try:
            step = next(steps)
            while True:
                try:
                    came = self._do(step, deadline_s)
                except ServdError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(came)
        except StopIteration as end:
            result: T = end.value
            return result

    def _do(self, step: Send | Wait, deadline_s: float) -> Answer | None:
        left_s = max(deadline_s - time.monotonic(), 1e-3)
        if isinstance(step, Wait):
            time.sleep(min(step.seconds, left_s))
            return None
        try:
            return self._connected().exchange(step.request, left_s)
        except LostError as error:
            if not error.is_sent:
                # A daemon that was started anew may answer at another port.
                self.close()
            raise


def named(version: str | int | None) -> str | None:
    """Return a version's name; numbers are names too."""
    return None if version is None else str(version)

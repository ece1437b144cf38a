"""What comes in pieces, made whole: lines of a text, items of a stream. No socket is touched here.

Used by client.py and async_client.py. The format of streams is docs/query-api.md's.
"""

import json
from typing import Any, Final

from servd.client.exchange import Answer, LostError
from servd.client.failures import error_for, error_of
from servd.client.queries import EVENTS, Queries, prediction_of
from servd.client.throttle import Throttle

_END: Final = "end"
_ERROR: Final = "error"


class Lines:
    """Makes lines of pieces of bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[str]:
        """Return the lines that a piece completes, without their ends."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def finish(self) -> list[str]:
        """Return what is left behind the last end of a line."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []


class Items:
    """Makes items of the pieces of an answer: of a stream's, or the one output of any other."""

    def __init__(self, app: str, answer: Answer, queries: Queries, throttle: Throttle) -> None:
        self._app = app
        self._answer = answer
        self._queries = queries
        self._throttle = throttle
        self._is_stream = answer.status == 200 and answer.kind == EVENTS
        self._lines = Lines()
        self._event = ""
        self._data: list[str] = []
        self._is_ended = False

    def feed(self, piece: bytes) -> list[Any]:
        """Return the items that a piece completes.

        Raises:
            QueryError: the stream has broken off, and says why.
        """
        if not self._is_stream:
            self._answer.body += piece
            return []
        found: list[Any] = []
        for line in self._lines.feed(piece):
            if not line:
                found += self._event_of()
            elif line.startswith("data:"):
                self._data.append(line.removeprefix("data:").removeprefix(" "))
            elif line.startswith("event:"):
                self._event = line.removeprefix("event:").strip()
        return found

    def _event_of(self) -> list[Any]:
        """Return what an event is, now that it is whole."""
        event, data = self._event, "\n".join(self._data)
        self._event, self._data = "", []
        if event == _ERROR:
            problem = json.loads(data)
            status = int(problem.get("status") or 500)
            raise error_for(self._app, Answer(status, self._answer.headers), problem)
        if event == _END:
            self._is_ended = True
            return []
        return [json.loads(data)] if data else []

    def finish(self) -> list[Any]:
        """Return what there is at the end of the answer.

        Raises:
            QueryError: it is an error.
            LostError: a stream has ended without its end.
        """
        self._queries.note(self._throttle, self._answer)
        if self._is_stream:
            if not self._is_ended:
                raise LostError("the stream was cut off", is_sent=True, is_begun=True)
            return []
        if self._answer.status >= 400:
            raise error_of(self._app, self._answer)
        return [prediction_of(self._answer).output]

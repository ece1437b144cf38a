"""Computes streams: plain generators in threads, asynchronous ones in the replica's event loop.

Used by loop.py. A stream that nobody hears any more is stopped where it is: at its `yield` by
`close`, while it computes an item by an exception in its thread, or in its task, as soon as Python
lets one in: a call into C returns first.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from typing import Any, Final, Union

from model_runtime import forks
from model_runtime.connection import Told
from model_runtime.failure import MODEL_ERRORS
from model_runtime.inputs import Batch
from model_runtime.outputs import item_text
from model_runtime.streams import Stream

Opens = Callable[[Batch], Union[Iterator[Any], AsyncIterator[Any]]]
"""Makes the generator that answers a batch of one input."""

Tells = Callable[[BaseException], Told]
"""Says in words what a model has raised, and has the log told of it."""

_set_exception: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc

_LOOKS: Final = 100
"""Steps of a loop, at each of which Python looks for an exception that another thread has set."""


class Stopped(GeneratorExit):
    """Nobody hears the stream any more. To a model it is what `close` raises in a generator."""


class Generators:
    """Computes the streams of one model.

    Threads are made when they are needed and kept: libraries keep things for each.
    """

    def __init__(self, opens: Opens, tells: Tells, *, is_async: bool) -> None:
        self.opens = opens
        self._tells = tells
        self._is_async = is_async
        self._lock = threading.Lock()
        self._free: list[_Thread] = []

    def begin(self, stream: Stream) -> None:
        """Begin to compute a stream."""
        if self._is_async:
            from model_runtime.async_streams import StreamTask  # noqa: PLC0415  (as it says)

            StreamTask(self, stream)
            return
        with self._lock:
            thread = self._free.pop() if self._free else None
        (thread or _Thread(self)).begin(stream)

    def on_free(self, thread: _Thread) -> None:
        """Let a thread have another stream."""
        with self._lock:
            self._free.append(thread)

    def end(self, stream: Stream, error: BaseException | None) -> None:
        """End a stream, by what its model has raised if it has; the log has that."""
        is_told = error is None or stream.is_cancelled
        stream.end(None if is_told or error is None else self._tells(error))


class _Thread:
    """Computes one stream after the other."""

    def __init__(self, generators: Generators) -> None:
        self._generators = generators
        self._lock = threading.Lock()
        self._computes: Stream | None = None
        self._is_interrupted = False
        self._queue: SimpleQueue[Stream] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="servd-stream", daemon=True)
        self._thread.start()

    def begin(self, stream: Stream) -> None:
        """Have it compute a stream."""
        stream.stop = lambda: self._interrupt(stream)
        self._queue.put(stream)

    def _interrupt(self, stream: Stream) -> None:
        """Raise `Stopped` in this thread if it computes an item of the stream just now."""
        with self._lock:
            if self._computes is stream and not self._is_interrupted:
                self._is_interrupted = True
                _raise_in(self._thread, Stopped)

    def _run(self) -> None:
        while True:
            self._serve(self._queue.get())

    def _serve(self, stream: Stream) -> None:
        raised: BaseException | None = None
        try:
            self._iterate(stream)
        except MODEL_ERRORS as error:  # the boundary of a stream: anything a model raises
            raised = error
        # One that came on the way out of an item has been raised, and no other is.
        self._computes, self._is_interrupted = None, False
        self._generators.end(stream, raised)
        self._generators.on_free(self)

    def _iterate(self, stream: Stream) -> None:
        """Put a generator's items into the stream until either has come to its end."""
        items = self._within(stream, lambda: self._generators.opens(stream.batch))
        try:
            while stream.may_go_on():
                try:
                    item = self._within(stream, items.__next__)
                except StopIteration:
                    return
                stream.put(item_text(item))
        finally:
            if hasattr(items, "close"):
                items.close()

    def _within(self, stream: Stream, step: Callable[[], Any]) -> Any:
        """Do what the model is to do: there it may be interrupted, and nowhere else."""
        with self._lock:
            if stream.is_cancelled:
                raise Stopped
            self._computes = stream
        try:
            return step()
        finally:
            forks.leave_if_child()
            with self._lock:
                self._computes = None
                if self._is_interrupted:
                    # One that has not come yet would hit what is done next.
                    _let_come()
                    self._is_interrupted = False


def _raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    """Raise an exception in a thread when it next runs Python's code."""
    _set_exception(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(kind))


def _let_come() -> None:
    """Have the exception that this thread is to raise be raised here, if it has not been yet.

    Python can take it back, but goes on to look for it before each step of all threads then, for
    ever, and where a debugger traces them (coverage does) 3.11 never gets beyond looking.
    """
    try:
        for _ in range(_LOOKS):
            pass
    except Stopped:
        pass

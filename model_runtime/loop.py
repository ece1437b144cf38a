"""The replica's life: load, test, then predict batch after batch. The hot path ends here.

Called by __main__.py. One thread computes; a frontend keeps a second batch waiting at the socket.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Union

from model_runtime import manifest, protocol, workspace
from model_runtime.attention import Attention
from model_runtime.carriers import WAKE_MS
from model_runtime.connection import ReplicaSocket, Told, Work
from model_runtime.content import Content
from model_runtime.contract import EXIT_LOAD_FAILED
from model_runtime.failure import MODEL_ERRORS, as_json, message_of
from model_runtime.health import HealthServer
from model_runtime.inputs import Batch
from model_runtime.loaders import load
from model_runtime.loaders.base import LoadedModel, LoadedWeb, Streaming
from model_runtime.older import dataclass
from model_runtime.outputs import OutputError
from model_runtime.raw_outputs import RawOutput
from model_runtime.refusals import Failed, InputError, PartlyFailedError
from model_runtime.selftest import test_call
from model_runtime.streams import Streams

if TYPE_CHECKING:
    from model_runtime.listening import Keys

DRAIN_QUIET_S = 0.2
"""A draining replica ends when no frontend has sent work for so long."""

DRAIN_LIMIT_S = 10.0
SWITCH_S = 0.001
"""A thread that computes lets the one that sends go on after so long: a fifth of Python's usual."""

STREAM_DRAIN_S = 4.0
"""Streams of a draining replica go on for so long: who ends it has let them go on before that."""

CLOSE_S = 0.5
"""Those that are stopped then have so long to close what they have opened."""

REPORT_S = 3.0
"""How long a failed replica stays to tell the first frontend why."""

TRACEBACKS_PER_S = 10
"""Of different errors: a model that fails on every input must not fill the disk."""


Predict = Callable[[Batch], Sequence[Union[bytes, RawOutput]]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the launcher says on the command line.

    `work` is the folder for the replica's own copy of its bundle; None: a temporary one.
    `health` is where probers are answered, if anywhere; to them a call of the model that takes
    longer than `predict_timeout_s` hangs.
    """

    listen: str
    bundle: Path
    model: str
    version: str
    replica: int
    max_batch: int
    orphan_timeout_s: float | None
    predict_timeout_s: float
    keys: Keys | None = None
    health: str | None = None
    work: Path | None = None


class Replica:
    """One running copy of a model version.

    `on_idle` is called when the model has loaded and whenever no work has come for a moment.
    """

    def __init__(
        self,
        options: Options,
        is_stopping: Callable[[], bool],
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._is_stopping = is_stopping
        self._on_idle = on_idle
        self._logged: set[str] = set()
        self._logged_until_s = 0.0
        self._streams: Streams | None = None
        self._began_s = time.monotonic()

    def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        info = {
            "model": self._options.model,
            "version": self._options.version,
            "replica": self._options.replica,
            "pid": os.getpid(),
            "row_items": None,
        }
        socket = ReplicaSocket(self._options.listen, info, self._options.keys)
        with socket, self._probed(socket):
            model = self._load(socket)
            if isinstance(model, LoadedWeb):
                return self._serve_web(socket, model)
            if model is None or not self._test(socket, model):
                self._report(socket)
                return EXIT_LOAD_FAILED
            if self._streams is not None:
                self._serve_streams(socket, model, self._streams)
                return 0
            self._serve(socket, model)
            socket.announce(protocol.DRAINING)
            self._drain(socket, model)
        return 0

    def _probed(self, socket: ReplicaSocket) -> AbstractContextManager[object]:
        if self._options.health is None:
            return nullcontext()
        return HealthServer(self._options.health, socket.health, self._options.predict_timeout_s)

    def _load(self, socket: ReplicaSocket) -> LoadedModel | LoadedWeb | None:
        """Load the model; None where that failed, with the reason in `info`."""
        place = self._options.bundle
        try:
            with socket.lent():
                content = Content(self._options.bundle)
                place = workspace.make(self._options.bundle, self._options.work)
                model = load(place)
                bundle = content.digest()
        except MODEL_ERRORS as error:
            self._note_failure(socket, error, place)
            return None
        row_items = model.row_items if isinstance(model, LoadedModel) else None
        socket.info |= {"input_type": model.input_type, "row_items": row_items}
        socket.info["bundle"] = bundle
        return model

    def _test(self, socket: ReplicaSocket, model: LoadedModel) -> bool:
        """Call the model once; False where that failed, with the reason in `info`."""
        place = model.bundle_dir or self._options.bundle
        socket.announce(protocol.TESTING)
        tested = model
        try:
            if model.streaming is not None:
                tested = replace(model, predictor=model.streaming.first)
                socket.info["streams"] = model.streaming.places
            with socket.lent():
                report = test_call(tested, manifest.read(place), self._options.max_batch)
            if model.signature is not None:
                socket.info["signature"] = report.completed(model.signature).as_json()
        except MODEL_ERRORS as error:
            self._note_failure(socket, error, place)
            return False
        self._on_idle()
        if model.streaming is not None:
            # Before anybody hears that it is ready, and asks for one.
            self._streams = self._new_streams(socket, model.streaming)
        socket.info["test"] = report.as_info()
        socket.info["load_ms"] = round((time.monotonic() - self._began_s) * 1000)
        socket.announce(protocol.READY)
        return True

    def _note_failure(self, socket: ReplicaSocket, error: BaseException, place: Path) -> None:
        socket.info["error"] = as_json(error, place)
        traceback.print_exception(type(error), error, error.__traceback__)

    def _serve_web(self, socket: ReplicaSocket, model: LoadedWeb) -> int:
        """Run a web application until told to stop; return the exit status."""
        from model_runtime.web import serving  # noqa: PLC0415  (few are web applications)

        life = serving.Life(
            self._is_stopping,
            lambda: self._is_orphan(socket),
            self._on_idle,
            self._options.predict_timeout_s,
        )
        app = serving.WebApp(model.app, model.kind, model.places)
        print("the application starts", flush=True)  # noqa: T201  # said last, where it hangs
        failure = serving.serve(app, self._options.listen, socket, life)
        if failure is None:
            return 0
        self._note_failure(socket, failure, model.bundle_dir or self._options.bundle)
        self._report(socket)
        return EXIT_LOAD_FAILED

    def _report(self, socket: ReplicaSocket) -> None:
        socket.announce(protocol.FAILED)
        until_s = time.monotonic() + REPORT_S
        while not socket.has_frontend() and time.monotonic() < until_s:
            socket.receive()

    def _serve(self, socket: ReplicaSocket, model: LoadedModel) -> None:
        attention = Attention(time.monotonic, WAKE_MS / 1000)
        while not self._is_stopping():
            if socket.receive():
                self._work(socket, model)
                continue
            self._on_idle()
            # Whoever stopped this process has kept it from hearing; it has heard while it worked.
            socket.excuse(attention.missed_s())
            if self._is_orphan(socket):
                return

    def _drain(self, socket: ReplicaSocket, model: LoadedModel) -> None:
        """Answer what was on its way when the frontends were told to send no more.

        A pause that was no wait for a message does not count: this process may have been stopped.
        """
        left_s = DRAIN_LIMIT_S
        quiet_s = 0.0
        while quiet_s < DRAIN_QUIET_S and left_s > 0:
            began_s = time.monotonic()
            has_work = socket.receive()
            waited_s = min(time.monotonic() - began_s, DRAIN_QUIET_S)
            quiet_s = 0.0 if has_work else quiet_s + waited_s
            left_s -= waited_s
            if has_work:
                began_s = time.monotonic()
                self._work(socket, model)
                left_s -= time.monotonic() - began_s

    def _new_streams(self, socket: ReplicaSocket, streaming: Streaming) -> Streams:
        sys.setswitchinterval(SWITCH_S)
        from model_runtime.generators import Generators  # noqa: PLC0415  (few models yield)

        computing = Generators(streaming.opens, self._logged_of, is_async=streaming.is_async)
        return Streams(socket, computing, streaming.places)

    def _serve_streams(self, socket: ReplicaSocket, model: LoadedModel, streams: Streams) -> None:
        """Serve a model that yields: streams go on while others begin and messages come."""
        attention = Attention(time.monotonic, WAKE_MS / 1000)
        while not self._is_stopping():
            if streams.turn(WAKE_MS):
                self._work(socket, model)  # of a frontend that asks for lists
                continue
            self._on_idle()
            socket.excuse(attention.missed_s())
            if self._is_orphan(socket):
                break
        socket.announce(protocol.DRAINING)
        self._drain_streams(socket, model, streams)
        streams.close()

    def _drain_streams(self, socket: ReplicaSocket, model: LoadedModel, streams: Streams) -> None:
        """Let streams come to their end, for a while; then stop them."""
        began_s = moved_s = time.monotonic()
        while (now_s := time.monotonic()) < began_s + STREAM_DRAIN_S + CLOSE_S:
            if streams.turn(WAKE_MS // 4):
                moved_s = now_s
                self._work(socket, model)
            elif streams.is_empty and now_s - moved_s > DRAIN_QUIET_S:
                return
            if now_s > began_s + STREAM_DRAIN_S:
                streams.stop_all("the replica was told to end")

    def _is_orphan(self, socket: ReplicaSocket) -> bool:
        limit_s = self._options.orphan_timeout_s
        return limit_s is not None and time.monotonic() - socket.last_heard_s > limit_s

    def _work(self, socket: ReplicaSocket, model: LoadedModel) -> None:
        """Predict everything that is pending, batch by batch."""
        predict = model.predictor.predict
        while socket.pending:
            works = take_mergeable(socket.pending, self._options.max_batch)
            if len(works) > 1:
                self._predict_merged(socket, works, predict)
                continue
            work = works[0]
            began = time.perf_counter()
            socket.lend()
            try:
                outputs = predict(work.batch)
            except MODEL_ERRORS as error:
                socket.take_back()
                self._fail(socket, work, error, began)
                continue
            socket.take_back()
            socket.reply(work, outputs, int((time.perf_counter() - began) * 1e6))

    def _predict_merged(
        self,
        socket: ReplicaSocket,
        works: list[Work],
        predict: Predict,
    ) -> None:
        """Predict batches of several frontends in one call; apart, where that call raises."""
        began = time.perf_counter()
        try:
            with socket.lent():
                outputs = predict(merge([work.batch for work in works]))
        except PartlyFailedError as error:
            at = 0
            for work in works:
                self._reply_partly(socket, work, error.outcomes[at : at + work.batch.count], began)
                at += work.batch.count
            return
        except MODEL_ERRORS:  # which frontend's input it was shows one by one
            for work in works:
                self._predict_alone(socket, work, predict)
            return
        compute_us = int((time.perf_counter() - began) * 1e6)
        at = 0
        for work in works:
            socket.reply(work, outputs[at : at + work.batch.count], compute_us)
            at += work.batch.count

    def _predict_alone(self, socket: ReplicaSocket, work: Work, predict: Predict) -> None:
        began = time.perf_counter()
        try:
            with socket.lent():
                outputs = predict(work.batch)
        except MODEL_ERRORS as error:
            self._fail(socket, work, error, began)
            return
        socket.reply(work, outputs, 0)

    def _fail(self, socket: ReplicaSocket, work: Work, error: BaseException, began: float) -> None:
        """Answer a batch that the model raised on, or of which some inputs failed."""
        if isinstance(error, PartlyFailedError):
            self._reply_partly(socket, work, error.outcomes, began)
            return
        told = _told(error)
        socket.fail(work, told)
        if work.batch.count == 1:
            self._log(error, told)

    def _reply_partly(
        self, socket: ReplicaSocket, work: Work, outcomes: Sequence[bytes | Failed], began: float
    ) -> None:
        """Answer the inputs of a batch, and tell of those that failed, if any of these did."""
        compute_us = int((time.perf_counter() - began) * 1e6)
        told: list[bytes | Told] = []
        for each in outcomes:
            if isinstance(each, Failed):
                failure = _told(each.error)
                self._log(each.error, failure)
                told.append(failure)
            else:
                told.append(each)
        texts = [each for each in told if isinstance(each, bytes)]
        if len(texts) == len(told):
            socket.reply(work, texts, compute_us)
        else:
            socket.reply_partly(work, told, compute_us)

    def _logged_of(self, error: BaseException) -> Told:
        """Return what is told of a failure that the log has."""
        told = _told(error)
        self._log(error, told)
        return told

    def _log(self, error: BaseException, told: Told) -> None:
        """Write a failure to the log, once a second each; an input's fault is none of the model."""
        if told.cause == protocol.BAD_INPUT:
            return
        if (now_s := time.monotonic()) >= self._logged_until_s:
            self._logged.clear()
            self._logged_until_s = now_s + 1
        if told.reason in self._logged or len(self._logged) >= TRACEBACKS_PER_S:
            return
        self._logged.add(told.reason)
        if told.cause == protocol.BAD_OUTPUT:
            sys.stderr.write(f"no output: {told.reason}\n")
        else:
            traceback.print_exception(type(error), error, error.__traceback__)
        sys.stderr.flush()


def _told(error: BaseException) -> Told:
    """Return what is told of a failure."""
    if isinstance(error, InputError):
        return Told(" ".join(str(error).split()), protocol.BAD_INPUT, error.faults)
    if isinstance(error, OutputError):
        return Told(" ".join(str(error).split()), protocol.BAD_OUTPUT)
    return Told(message_of(error))


def take_mergeable(pending: deque[Work], max_batch: int) -> list[Work]:
    """Remove the first batch from `pending`, with those of other frontends that fit one call.

    Batches of one frontend are never merged with each other: it sized each for its objective.
    """
    first = pending.popleft()
    works = [first]
    rows = first.batch.count
    frontends = {first.frontend}
    while pending:
        work = pending[0]
        rows += work.batch.count
        if (
            work.frontend in frontends
            or work.batch.input_type != first.batch.input_type
            or 0 < max_batch < rows
        ):
            break
        works.append(work)
        frontends.add(work.frontend)
        pending.popleft()
    return works


def merge(batches: list[Batch]) -> Batch:
    """Return one batch that holds the rows of several, in order."""
    rows = [row for b in batches for row in protocol.split_rows(b.lengths, b.data, b.count)]
    lengths, data = protocol.join_rows(rows)
    wanted = b"".join(b.wanted or bytes(b.count) for b in batches)
    return Batch(batches[0].input_type, lengths, data, len(rows), wanted if any(wanted) else b"")

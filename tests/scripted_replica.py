"""A replica in a thread: a real ROUTER socket that speaks docs/protocol.md as a test scripts it."""

import json
import queue
import shutil
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import zmq

from model_runtime import protocol

JOIN_TIMEOUT_S = 10


def sum_of_doubles(row: bytes) -> bytes:
    """Return what the usual example model answers: the sum, as a JSON number."""
    return json.dumps(sum(struct.unpack(f"<{len(row) // 8}d", row))).encode()


def doubles(*numbers: float) -> bytes:
    """Return the row of some numbers."""
    return struct.pack(f"<{len(numbers)}d", *numbers)


class ScriptedReplica:
    """Answers at once, unless the script says otherwise; everything it got is in `batches`.

    `headers` are those of the messages that it got. `version` is what it says that it speaks.

    Args:
        answer: makes the JSON text of a row.
        poison: says of a row that the model raises on it; the whole batch fails then.
        deadly: says of a row that the replica dies with it, without a word.
        row_items: what STATE says of it.
        is_holding: batches are kept until `release`.
        pace_s: makes the time that a batch of some rows takes; it is slept and reported.
        address: where it listens, if not at a socket file of its own.
    """

    def __init__(
        self,
        *,
        answer: Callable[[bytes], bytes] = sum_of_doubles,
        poison: Callable[[bytes], bool] = lambda _row: False,
        deadly: Callable[[bytes], bool] = lambda _row: False,
        row_items: int | None = None,
        is_holding: bool = False,
        pace_s: Callable[[int], float] | None = None,
        address: str = "",
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sv-"))
        self.address = address or f"ipc://{self.folder}/r.sock"
        self.batches: list[list[bytes]] = []
        self.headers: list[list[Any]] = []
        self.state = protocol.READY
        self.version = protocol.PROTOCOL_VERSION
        self.info: dict[str, Any] = {"row_items": row_items}
        self.is_holding = is_holding
        self.heartbeats = 0
        self.pace_s = pace_s
        self._answer = answer
        self._poison = poison
        self._deadly = deadly
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._held: list[tuple[bytes, int, list[bytes]]] = []
        self._frontends: list[bytes] = []
        self._is_ending = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.bind(self.address)
        self._wake_in = self._context.socket(zmq.PAIR)
        self._wake_in.bind("inproc://wake")
        self._wake_out = self._context.socket(zmq.PAIR)
        self._wake_out.connect("inproc://wake")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.die()
        self._wake_out.close(linger=0)
        self._context.term()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what a test says ---

    def die(self) -> None:
        """End without a word, as a killed process does."""
        if self._thread.is_alive():
            self._do(self._end)
            self._thread.join(JOIN_TIMEOUT_S)

    def release(self, count: int | None = None) -> None:
        """Answer the oldest `count` batches that were held; all and those to come without it."""

        def release() -> None:
            if count is None:
                self.is_holding = False
            held = self._held[:count]
            del self._held[: len(held)]
            for work in held:
                self._reply(*work)

        self._do(release)

    def send(self, *frames: bytes) -> None:
        """Send any frames to every frontend."""

        def send() -> None:
            for frontend in self._frontends:
                self._socket.send_multipart([frontend, *frames])

        self._do(send)

    def announce(self, state: str) -> None:
        """Change the state and tell every frontend."""
        self.state = state
        self.send(self._state())

    # --- the thread ---

    def _do(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        self._wake_out.send(b"")

    def _end(self) -> None:
        self._is_ending = True

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_in, zmq.POLLIN)
        try:
            while not self._is_ending:
                ready = dict(poller.poll())
                if self._wake_in in ready:
                    self._wake_in.recv()
                    self._commands.get()()
                if self._socket in ready and not self._is_ending:
                    self._on_message(self._socket.recv_multipart())
        finally:
            self._socket.close()
            self._wake_in.close()

    def _on_message(self, frames: list[bytes]) -> None:
        frontend, header = frames[0], protocol.unpack_header(frames[1])
        self.headers.append(header)
        if frontend not in self._frontends:
            self._frontends.append(frontend)
        if header[0] == protocol.PREDICT:
            self._on_predict(frontend, header, frames)
            return
        self.heartbeats += header[0] == protocol.HEARTBEAT
        self._socket.send_multipart([frontend, self._state()])

    def _on_predict(self, frontend: bytes, header: list[Any], frames: list[bytes]) -> None:
        rows = protocol.split_rows(b"".join(frames[3:]), frames[2], header[3])
        self.batches.append(rows)
        if any(map(self._deadly, rows)):
            self._is_ending = True
        elif self.is_holding:
            self._held.append((frontend, header[1], rows))
        else:
            self._reply(frontend, header[1], rows)

    def _reply(self, frontend: bytes, batch_id: int, rows: list[bytes]) -> None:
        if any(map(self._poison, rows)):
            header = protocol.pack_header([protocol.FAILURE, batch_id, "the script says so"])
            self._socket.send_multipart([frontend, header])
            return
        compute_us = 1
        if self.pace_s is not None:
            began_s = time.perf_counter()
            time.sleep(self.pace_s(len(rows)))
            compute_us = int((time.perf_counter() - began_s) * 1e6)
        header = protocol.pack_header([protocol.RESULT, batch_id, len(rows), compute_us])
        self._socket.send_multipart([frontend, header, b"\n".join(map(self._answer, rows))])

    def _state(self) -> bytes:
        packed: bytes = protocol.pack_header([protocol.STATE, self.version, self.state, self.info])
        return packed

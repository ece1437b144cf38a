"""`python -m servd.http.query.body_reader FD`: reads long bodies for long_bodies.py.

Reading tens of megabytes of JSON keeps Python's lock for up to a second, so it is done here, where
nobody waits. A body comes, and its rows go, as memory files; the messages are JSON over a socket.

The process itself reads none: it forks those that do, asked by reader_nursery.py. A message is a
number; with the descriptor of a socket it asks for a reader of that number, without for its end.
"""

import gc
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec

from servd.datatypes import Inputs, InputType
from servd.http.bounds import Bounds
from servd.http.codecs import CODECS
from servd.http.codecs.base import NO_HEAD, PREDICT, Codec, RequestError, Wanted
from servd.http.query.bodies import BodyError, unpack

MESSAGE_BYTES: Final = 1 << 16
READY: Final = b"ready"
_WRITTEN_BYTES: Final = 1 << 18
_NICE: Final = 5
"""Where processors are short, queries go before what is long anyway."""

_LONGEST_CAUSE: Final = 2000
_MEMORY_FACTOR: Final = 3
_MEMORY_BYTES: Final = 128 * 1024 * 1024
"""A body may take three times its unpacked size to be read, and so much more."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A body to read; its memory file comes with it. `codec` is where its codec is found."""

    codec: str
    encoding: str
    wanted: Wanted


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """A reader runs; its first message."""

    pid: int


class Valid(msgspec.Struct, frozen=True, tag="valid"):
    """The body is JSON, and has an input; its rows, or what is wrong with them, come next."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """A body was read: a memory file of `size` bytes of rows, then each row's length as uint32."""

    size: int
    count: int
    is_batch: bool
    version: str | None
    told: bytes = b""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A body was not what is taken: a status, a title, and a sentence that explains it."""

    status: int
    error: str
    cause: str
    detail: list[dict[str, Any]] | None = None


_VALID: Final = msgspec.json.encode(Valid())


class RowFile:
    """Takes rows into a memory file."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("servd-rows", os.MFD_CLOEXEC)
        self.size = 0
        self._file = os.fdopen(self.descriptor, "wb", buffering=_WRITTEN_BYTES, closefd=False)
        self._began = 0
        self._sizes: list[int] = []

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._sizes)

    def write(self, piece: bytes | memoryview) -> None:
        """Add to the present row."""
        self._file.write(piece)
        self.size += len(piece)

    def end_row(self) -> None:
        """Begin the next row."""
        self._sizes.append(self.size - self._began)
        self._began = self.size

    def finish(self) -> None:
        """Write the lengths."""
        self._file.write(struct.pack(f"<{len(self._sizes)}I", *self._sizes))
        self._file.flush()

    def close(self) -> None:
        """Let go of the file; whoever it was sent to keeps it."""
        with suppress(OSError):  # what is left in its buffer nobody wants
            self._file.close()
        os.close(self.descriptor)


class Nursery:
    """Forks readers; knows those that it has not waited for, so that it ends no other process."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._pids: dict[int, int] = {}

    def run(self) -> int:
        """Do as asked until the server hangs up; in a reader, return its channel's descriptor."""
        signal.signal(signal.SIGCHLD, self._reap)
        with suppress(ConnectionError):  # it has hung up: that is read next
            self._asked.send(READY)
        while True:
            message, descriptors = self._next()
            if not message:
                self._end()
                return -1
            number = int(message)
            if not descriptors:
                self._kill(number)
                continue
            pid = self._fork()
            if not pid:
                return descriptors[0]
            self._pids[number] = pid
            os.close(descriptors[0])

    def _next(self) -> tuple[bytes, list[int]]:
        """Return what is asked next; nothing where the server has hung up."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._asked, MESSAGE_BYTES, 1)
        except ConnectionError:
            return b"", []
        return message, descriptors

    def _fork(self) -> int:
        """Return 0 in the child; -1 where there is no room for one: its channel closes then."""
        try:
            pid = os.fork()
        except OSError:
            traceback.print_exc()
            return -1
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._asked.close()
        return pid

    def _kill(self, number: int) -> None:
        pid = self._pids.get(number, -1)
        if pid > 0:
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the number is still its own

    def _reap(self, *_: object) -> None:
        for number, pid in list(self._pids.items()):
            if pid < 0 or os.waitpid(pid, os.WNOHANG)[0]:
                del self._pids[number]

    def _end(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for pid in self._pids.values():
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def main() -> None:
    """Fork readers until the server hangs up; be one of them in each fork."""
    # The server ends this process by hanging up: what a terminal or an init sends is for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(_NICE)
    _warm_up()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        descriptor = Nursery(asked).run()
    if descriptor >= 0:
        _serve(descriptor)


def _warm_up() -> None:
    """Read a body of each kind, so that no reader has anything left to load or to build."""
    bounds = Bounds(max_body_bytes=100, max_rows=10, max_values=100, max_ratio=100)
    bodies = (b'{"input":[1]}', b'{"input":"aGk="}', b'{"input_batch":[[1]]}', b"[1]")
    for codec, input_type, body in product(CODECS, InputType, bodies):
        wanted = Wanted(inputs=Inputs(input_type), verb=PREDICT, head=NO_HEAD, bounds=bounds)
        rows = RowFile()
        with suppress(RequestError):
            codec.read_long(memoryview(body), wanted, rows, int)
        rows.close()
    for _ in unpack(memoryview(zlib.compress(b"1")), "deflate", bounds):
        pass
    gc.collect()
    gc.freeze()  # so that what the forks share stays shared


def _serve(descriptor: int) -> None:
    """Read body after body until the server hangs up."""
    with socket.socket(fileno=descriptor) as channel, suppress(ConnectionError):
        channel.send(msgspec.json.encode(Begun(os.getpid())))
        while True:
            message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 2)
            if not message:
                return
            _answer(channel, _job_of(message, descriptors), descriptors[0])


def _job_of(message: bytes, descriptors: list[int]) -> Job:
    """Return the job of a message, or of the memory file that came instead where it is long."""
    if len(descriptors) > 1:
        message = bytes(_mapped(descriptors[1]))
        os.close(descriptors[1])
    return msgspec.json.decode(message, type=Job)


def _answer(channel: socket.socket, job: Job, descriptor: int) -> None:
    rows = RowFile()
    try:
        reply = _read(job, descriptor, rows, lambda: channel.send(_VALID))
        if isinstance(reply, Done):
            socket.send_fds(channel, [msgspec.json.encode(reply)], [rows.descriptor])
        else:
            channel.send(msgspec.json.encode(reply))
    finally:
        rows.close()


def _read(
    job: Job, descriptor: int, rows: RowFile, on_json: Callable[[], object]
) -> Done | Refused:
    try:
        if job.encoding:
            descriptor = _unpacked(job, descriptor)
        with _limited_memory(os.fstat(descriptor).st_size):
            body = _mapped(descriptor)
            asked = _codec(job.codec).read_long(body, job.wanted, rows, on_json)
            del body
            rows.finish()
        return Done(rows.size, rows.count, asked.is_batch, asked.version, asked.told)
    except RequestError as error:
        return _refused(error)
    except BodyError as error:
        return Refused(error.status, "Bad request", str(error)[:_LONGEST_CAUSE])
    except MemoryError:
        cause = f"the body would take more than {_MEMORY_FACTOR} times its size in memory"
        return Refused(413, "Bad request", f"{cause}: send it in several requests")
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - the boundary of a request; the next one is read
        traceback.print_exc()
        return Refused(500, "Internal error", "the body could not be read; the log says more")
    finally:
        os.close(descriptor)


def _refused(error: RequestError) -> Refused:
    refused = Refused(error.status, error.error, error.cause[:_LONGEST_CAUSE], error.detail)
    if error.detail is not None and len(msgspec.json.encode(refused)) > MESSAGE_BYTES:
        return msgspec.structs.replace(refused, detail=error.detail[:1])
    return refused


def _codec(spelled: str) -> Codec:
    module, _, name = spelled.partition(":")
    name, _, settings = name.partition(":")
    found = getattr(import_module(module), name)
    codec: Codec = found(settings) if settings else found
    return codec


def _unpacked(job: Job, descriptor: int) -> int:
    """Return a memory file of an unpacked body instead of that of the packed one."""
    unpacked = os.memfd_create("servd-body", os.MFD_CLOEXEC)
    try:
        with os.fdopen(unpacked, "wb", buffering=_WRITTEN_BYTES, closefd=False) as file:
            for piece in unpack(_mapped(descriptor), job.encoding, job.wanted.bounds):
                file.write(piece)
    except BaseException:
        os.close(unpacked)
        raise
    os.close(descriptor)
    return unpacked


def _mapped(descriptor: int) -> memoryview:
    """Return a memory file's content, uncopied; unmapped when no view of it is left."""
    size = os.fstat(descriptor).st_size
    return memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else b"")


@contextmanager
def _limited_memory(size: int) -> Iterator[None]:
    """Let a body take a multiple of its size; what would take more raises MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limit = used + _MEMORY_FACTOR * size + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft < 0 else min(limit, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    main()

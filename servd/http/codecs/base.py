"""What a wire format is to the query server: requests to rows, outcomes to answers.

Implemented by the other files of this package, used by http/query.
A format needs a subclass of `Codec` and a place in codecs/__init__.py.
"""

import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

import msgspec

from servd.carriers.long_bytes import LongBytes, Piece, pieces_of
from servd.datatypes import Inputs
from servd.engine.query import Miss, Why
from servd.http.bounds import Bounds
from servd.http.documents.application import Described
from servd.http.documents.openapi import Operations
from servd.http.wire import JSON, Reply, error_reply
from servd.quantities import counted
from servd.schemas.faults import cut

if TYPE_CHECKING:
    from servd.engine.route import NoSuchVersionError, Route

PREDICT: Final = "predict"
"""The verb of a place where inputs are sent."""
FEEDBACK: Final = "feedback"
"""The verb of a place where it is sent what an output should have been."""

Part = bytes | list[Piece]
"""What is said of one input among several, in pieces where its output is long."""

COPIED_BYTES: Final = 1 << 16
"""An output that is longer is best left as a piece: many of a request's may be, and each is written
in another turn of the event loop."""

BEGIN_BYTES: Final = 256
"""Of a body that a codec sees before anybody reads it."""

SHOWN_NAME: Final = 80
"""Signs of a name that a client gave, in what is said of it."""

Render = Callable[[tuple[int, bytes]], bytes]
"""A query's id and its output, a JSON text, to the body of an answer.

Raises TypeError for an output that is `LongBytes`.
"""


class RequestError(Exception):
    """A request that is refused: with an HTTP status, a title, and a sentence that explains it.

    `detail` says the same for programs, a fault each, where the inputs have a signature.
    """

    def __init__(
        self, status: int, error: str, cause: str, detail: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(cause)
        self.status = status
        self.error = error
        self.cause = cause
        self.detail = detail


class BesideError(Exception):
    """A body that is too much work for the event loop, though it is short: it is read beside."""


class Head(msgspec.Struct, frozen=True):
    """What a codec sees beside the body of a request that is not as usual, or of each.

    `path` is unquoted, `query` what follows its question mark, as it came. `headers` holds those
    that the codec asks for and that say something unusual, by their names in lower case; one that
    comes twice is joined by commas.
    """

    path: str = ""
    query: str = ""
    headers: dict[str, str] = {}
    method: str = "POST"


NO_HEAD: Final = Head()
"""Of an ordinary request: a POST without a query whose headers change nothing."""


ROOT: Final = ""
"""The name in a path without one: it stands for the default application."""


class Resource(NamedTuple):
    """What a path stands for: an application, and what is wanted of it, by one of `methods`.

    It is the default application where the name is `ROOT`.
    """

    application: str
    verb: str = PREDICT
    methods: tuple[bytes, ...] = (b"POST",)


class Asked(NamedTuple):
    """What a request asks for, where that is not one input for the current version.

    `rows` is one input or a list of several.
    """

    rows: bytes | list[bytes]
    version: str | None = None

    @property
    def told(self) -> bytes:
        """What the codec wants to know of the request when it gathers the answer; see AskedAs."""
        return b""


class AskedAs(Asked):
    """The same, of several inputs, with what `Codec.gather_as` is to know: in words of its own."""

    _told: bytes

    def __new__(cls, rows: list[bytes], told: bytes) -> Self:
        """Take the inputs."""
        self = super().__new__(cls, rows)
        self._told = told
        return self

    @property
    def told(self) -> bytes:
        """See Asked."""
        return self._told


Decode = Callable[[bytes], bytes | Asked]
"""A body to the row of its one input, or to what else it asks for.

Raises RequestError, or BesideError for what `Codec.read_long` is to read."""


class Rows(Protocol):
    """Where the rows of a long body go: `write` adds to the present one, `end_row` ends it."""

    def write(self, piece: bytes | memoryview) -> None:
        """Add to the present row."""

    def end_row(self) -> None:
        """Begin the next row."""


class Takes(Protocol):
    """What has inputs: a route, whose inputs may change, or what is wanted of a long body."""

    @property
    def inputs(self) -> Inputs:
        """What bodies are decoded by; another object where it has changed."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a long body."""

    inputs: Inputs
    verb: str
    head: Head
    bounds: Bounds


class Read(msgspec.Struct, frozen=True):
    """What a long body asked for: several inputs or one, for which version; see `Asked`."""

    is_batch: bool
    version: str | None
    told: bytes = b""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around and between the parts of an answer about several inputs."""

    status: int
    opening: bytes = b""
    separator: bytes = b""
    closing: bytes = b""


class Gathering(Protocol):
    """How the outcomes of one request's inputs become one answer; made for each such request.

    The parts may come in any order; they are written in that of the inputs, inside the `frame`.
    """

    def output(self, query_id: int, output: bytes | LongBytes) -> Part:
        """Return what is said of an input's output."""

    def missed(self, index: int, query_id: int, why: Why, row: bytes) -> Part:
        """Return what is said of an input that has none; `index` is its place among them."""

    def frame(self, count: int) -> Frame:
        """Return what holds that many parts. Called last, also for none."""


class Codec:
    """One wire format. Without state; whatever changes from request to request is in the `Head`.

    `spelled` says where it is found, as "package.module:NAME": long bodies are read by a process
    beside; one with settings has them there, as "package.module:make:SETTINGS". Of `headers`, by
    name in lower case, it says which values change nothing: a request with none but those is
    ordinary, and is answered by its URL alone. Others, those with a query string and those by
    another method have a `Head`, and all have one where it `wants_head`.
    `begins` are how bodies begin that hold one input for certain: such are refused unread while
    queries are shed.
    """

    spelled: str
    wants_head: bool = False
    headers: Mapping[str, frozenset[str]] = {}
    begins: tuple[bytes, ...] = ()

    # --- requests ---

    def find(self, path: bytes) -> Resource | None:
        """Return what an unquoted path stands for in this format; None if it is none of its own."""
        raise NotImplementedError

    def claims(self, takes: Takes, head: Head, begin: bytes) -> bool:
        """Return whether a request at a path of several formats is in this one, by its beginning.

        `begin` is how the body begins: `BEGIN_BYTES` of it. What none claims is in the first.
        """
        del takes, head, begin
        return False

    def methods(self, resource: Resource, takes: Takes) -> tuple[bytes, ...]:
        """Return the methods that a place takes, whatever its application's inputs are now."""
        del takes
        return resource.methods

    def methods_hint(self, resource: Resource, takes: Takes, url: str) -> str:
        """Return what to do instead, for who asks by a method that a place at `url` lacks."""
        del resource, takes, url
        return ""

    def decoder(self, takes: Takes, head: Head) -> Decode:
        """Return how bodies become rows of an application, as long as its inputs are the same.

        Called again where they have changed: where they are another object.

        Raises:
            RequestError: such requests are not taken.
        """
        raise NotImplementedError

    def body_key(self, head: Head) -> Hashable | None:
        """Return what bodies are known by in the cache; None where the same may mean another row.

        There may be few keys: each has a table for each version.
        """
        return None if self.wants_head or head is not NO_HEAD else self.spelled

    def is_lasting(self, head: Head) -> bool:
        """Return whether a client may send the same head again, to the byte."""
        del head
        return True

    def is_scanned(self, takes: Takes, head: Head, begin: bytes) -> bool:
        """Return whether long bodies that begin so have nothing in them that takes long to read.

        Those that are in memory are decoded on the event loop then, which takes a millisecond; what
        turns out to be more work raises BesideError.
        """
        del takes, head, begin
        return False

    def as_it_is(self, takes: Takes, head: Head, begin: bytes) -> Read | None:
        """Return what a long body asks for that is the row of its one input; None for all others.

        `begin` is how the body begins: `BEGIN_BYTES` of it.
        """
        del takes, head, begin
        return None

    def is_fresh(self, head: Head) -> bool:
        """Return whether the request wants its outputs computed anew (RFC 9111 §5.2.1.4)."""
        said = head.headers.get("cache-control", "").lower()
        return any(word.strip() in ("no-cache", "no-store") for word in said.split(","))

    def read_long(
        self, body: memoryview, wanted: Wanted, rows: Rows, on_json: Callable[[], object]
    ) -> Read:
        """Write the rows of a long body; `on_json` is called once it is known to be well formed.

        Runs in another process, which ends if it takes several times the body's size of memory.

        Raises:
            RequestError: it is not what is taken, or exceeds a bound.
        """
        asked = self.decoder(wanted, wanted.head)(bytes(body))
        on_json()
        asked = Asked(asked) if isinstance(asked, bytes) else asked
        found, version = asked
        is_batch = isinstance(found, list)
        for count, row in enumerate(found if isinstance(found, list) else [found], 1):
            if count > wanted.bounds.max_rows:
                raise self.too_many_rows(wanted.bounds)
            rows.write(row)
            rows.end_row()
        return Read(is_batch, version, asked.told)

    def operations(
        self,
        application: Described,
        is_short: bool,  # noqa: FBT001  # as `Describe` has it
    ) -> Iterator[Operations | None]:
        """Yield what an application's paths answer in this format; None: others have a turn.

        In short where its schemas are too much for a document of many.
        """
        del application, is_short
        yield from ()

    # --- answers ---

    def kind(self, head: Head) -> bytes:
        """Return the Content-Type of answers: one of few."""
        del head
        return JSON

    def renderer(self, head: Head) -> Render:
        """Return how an output becomes an answer: for speed, a callable that is written in C."""
        raise NotImplementedError

    def long_output(self, query_id: int, output: LongBytes, head: Head) -> list[Piece]:
        """Return the answer for an output that is too long to be copied on the event loop.

        What this class does is for formats that have to: it joins the output first.
        """
        return [self.renderer(head)((query_id, b"".join(pieces_of((output,)))))]

    def missed(self, route: "Route", query_id: int, why: Why, row: bytes, head: Head) -> Reply:
        """Return the answer for an input without an output: the default output, or an error."""
        raise NotImplementedError

    def gather(self, route: "Route", head: Head) -> Gathering:
        """Return how the answer about several inputs is put together."""
        raise NotImplementedError

    def gather_as(self, route: "Route", head: Head, told: bytes) -> Gathering:
        """Return the same for a request of which its decoder has `told` something."""
        del told
        return self.gather(route, head)

    def refused(self, error: RequestError) -> Reply:
        """Return the answer for a request that is refused."""
        return error_reply(error.status, error.error, error.cause, detail=error.detail)

    def fault(self, query_id: int) -> Reply:
        """Return the answer for what nobody foresaw."""
        return error_reply(500, "Internal error", Miss.FAULT.value, query_id)

    def no_such_version(self, error: "NoSuchVersionError") -> RequestError:
        """Return how a query is refused that names a version which is not there."""
        return RequestError(400, "Query processing error", f"{error}")

    def too_many_rows(self, bounds: Bounds) -> RequestError:
        """Return the refusal of a request of too many inputs."""
        cause = (
            f"the request has more than {bounds.max_rows} inputs: "
            "send several requests, or raise the server's --max-rows"
        )
        return RequestError(413, "Bad request", cause)

    def unknown(self, resource: Resource) -> Reply:
        """Return the answer where no application has the name."""
        return error_reply(404, "Unknown application", unknown_cause(resource))

    def answer(self, resource: Resource, route: "Route", head: Head, body: bytes | None) -> Reply:
        """Return the answer at a place that is not for predictions.

        Where the body was long, `read_long` has had it, and `body` is None.

        Raises:
            RequestError: the request is refused.
        """
        raise NotImplementedError


STATUS: Final = {
    Miss.NO_MODEL: 503,
    Miss.TIMED_OUT: 504,
    Miss.MODEL_FAILED: 500,
    Miss.BAD_OUTPUT: 500,
    Miss.OVERLOADED: 503,
    Miss.WRONG_SIZE: 400,
    Miss.BAD_INPUT: 422,
    Miss.FAULT: 500,
}
"""The HTTP status of an input that has neither an output nor a default output."""


def unknown_cause(resource: Resource) -> str:
    """Return the sentence that says that there is no such application."""
    if resource.application == ROOT:
        return (
            "This path names no application, and there is no default one: "
            "servd app default NAME    chooses it"
        )
    return f"No application with name '{cut(resource.application, SHOWN_NAME)}' exists"


def cause_of(route: "Route", why: Why, row: bytes) -> str:
    """Return the sentence that explains why an input has no output."""
    dispatcher = route.dispatcher
    size = route.input_type.item_bytes
    if why is Miss.WRONG_SIZE and dispatcher is not None and dispatcher.row_bytes and size:
        wanted, found = dispatcher.row_bytes // size, len(row) // size
        return f"Model {dispatcher.id} takes {counted(wanted, 'number')}, the input has {found}"
    return why.value


def packed(values: Iterable[Any], letter: str) -> bytes:
    """Return numbers as a row: little-endian, `letter` as the struct module has it.

    Raises:
        struct.error, OverflowError: one has no place in its type.
    """
    numbers = tuple(values)
    return struct.pack(f"<{len(numbers)}{letter}", *numbers)

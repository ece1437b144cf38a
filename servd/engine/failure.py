"""What a replica says of inputs that have no output: of one, of a batch, or of some of a batch.

Read by rpc.py out of FAILURE, END and PARTIAL (docs/protocol.md), told by dispatcher.py and
stream_line.py to whoever asked.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from model_runtime.protocol import BAD_INPUT, BAD_OUTPUT, RAISED, ProtocolError
from servd.engine.query import BadInput, Raised, Why, bad_output

_CAUSES: Final = frozenset({RAISED, BAD_OUTPUT, BAD_INPUT})


class Failure(NamedTuple):
    """Why an input, or a batch, has no output.

    `cause` is a word of model_runtime/protocol.py, `faults` what is wrong with an input, by part.
    """

    reason: str
    cause: str = RAISED
    faults: Sequence[dict[str, Any]] = ()

    @classmethod
    def told(cls, said: list[Any]) -> Self:
        """Return what the last items of a FAILURE say; what is unknown is taken as left out."""
        reason, cause, told = (*said, *("no reason given", "", ())[len(said) :])[:3]
        cause = cause if isinstance(cause, str) and cause in _CAUSES else RAISED
        listed = told if isinstance(told, list) else ()
        return cls(str(reason), cause, [_fault(each) for each in listed if isinstance(each, dict)])

    def as_miss(self, version: object) -> Why:
        """Return what the caller of the query is told."""
        if self.cause == BAD_INPUT:
            return BadInput(self.reason, self.faults)
        return bad_output(self.reason) if self.cause == BAD_OUTPUT else Raised(version, self.reason)


def failures_of(told: Any, count: int) -> dict[int, Failure]:
    """Return which places of a batch of `count` have failed, as a PARTIAL says.

    Raises:
        ProtocolError: it does not say so.
    """
    listed = told if isinstance(told, list) else []
    failed = {
        each[0]: Failure.told(each[1:])
        for each in listed
        if isinstance(each, list) and each and type(each[0]) is int and 0 <= each[0] < count
    }
    if not failed or len(failed) != len(listed):
        raise ProtocolError("it does not say which inputs have failed")
    return failed


def _fault(told: dict[Any, Any]) -> dict[str, Any]:
    """Return one part's fault as it is told, with nothing in it that is not as it must be."""
    loc = told.get("loc")
    steps = loc if isinstance(loc, list) else []
    place = [each for each in steps if isinstance(each, int | str)]
    return {"loc": place, "msg": str(told.get("msg")), "type": str(told.get("type"))}

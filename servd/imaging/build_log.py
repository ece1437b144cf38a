"""Reads what an engine says while it builds: steps, cache hits, output. Used by builder.py.

Pure: messages in, steps out.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

_STEP: Final = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_IMAGE: Final = re.compile(r"Successfully built ([0-9a-f]{12,64})")
_NOISE: Final = re.compile(r" ---> (?:Running in )?[0-9a-f]{12}|Removing intermediate container .*")
_CACHED: Final = " ---> Using cache"
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MAX_LINES: Final = 2000


@dataclass(slots=True)
class Step:
    """One instruction of a Dockerfile and what became of it."""

    number: int
    total: int
    instruction: str
    is_cached: bool = False
    output: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The instruction in one line, without what it goes on with."""
        return " ".join(self.instruction.split())


class BuildLog:
    """What a build has said so far. `steps` are all that have begun; `error` is the engine's."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.image_id = ""
        self.error = ""
        self._rest = ""

    @property
    def is_cached(self) -> bool:
        """Whether every step that could be was found in the cache."""
        return all(step.is_cached for step in self.steps[1:])

    def feed(self, message: dict[str, Any]) -> Step | None:
        """Take one message; return the step before the one that has begun with it."""
        if "error" in message:
            self.error = str(message.get("errorDetail", {}).get("message") or message["error"])
        identity = (message.get("aux") or {}).get("ID")
        if identity:
            self.image_id = str(identity)
        finished: Step | None = None
        lines = (self._rest + str(message.get("stream", ""))).split("\n")
        # A step comes in one message, whose instruction may have several lines.
        if (found := _STEP.match(self._rest + str(message.get("stream", "")))) is not None:
            finished = self.steps[-1] if self.steps else None
            self.steps.append(Step(int(found[1]), int(found[2]), found[3].strip()))
            self._rest = ""
            return finished
        self._rest = lines.pop()
        for line in lines:
            self._take(line)
        return None

    def _take(self, raw: str) -> None:
        line = _ANSI.sub("", raw).rstrip()
        if not self.steps or not line:
            return
        if line == _CACHED:
            self.steps[-1].is_cached = True
        elif built := _IMAGE.fullmatch(line):
            self.image_id = self.image_id or built[1]
        elif not _NOISE.fullmatch(line) and len(self.steps[-1].output) < MAX_LINES:
            self.steps[-1].output.append(line)


class Report:
    """Who is told how it goes, and says nothing; cli/build_body.py has one that does."""

    def on_begin(self, step: Step) -> None:
        """Hear of a step of the Dockerfile that begins."""

    def on_step(self, step: Step) -> None:
        """Hear of a step that is done."""

    def on_built(self, image_id: str, *, is_cached: bool) -> None:
        """Hear that there is an image, which is not tried yet."""

    def on_tried(self, detail: str, duration_s: float) -> None:
        """Hear that it was run and has answered."""

    def on_pushing(self, reference: str, attempt: int, error: str) -> None:
        """Hear that a push begins; `error` is why the attempt before failed."""

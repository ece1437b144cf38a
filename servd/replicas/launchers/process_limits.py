"""How a process is kept to what its version may use. Used by launchers/process.py.

By a control group where one can be limited. Elsewhere its memory by RLIMIT_DATA, which counts what
it may write to and is its own; not by RLIMIT_AS, as libraries reserve addresses that they never
use. And its processors by its affinity, which knows whole ones only.
"""

import math
import os
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from servd.datatypes import ModelVersion
from servd.registry.limits import shown_cpus, shown_memory
from servd.replicas.launchers.cgroups import CPU, MEMORY, Group, why_unlimited

_BY_GROUP: Final = "control group"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a process is kept to, in words. `processors` are given to it by its affinity.

    `has_memory_limit` says that requests for more memory fail, where no group ends it instead.
    """

    words: tuple[str, ...] = ()
    processors: frozenset[int] = frozenset()
    has_memory_limit: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who is to be kept to what; `group` None: it has none that can be limited, and `why`."""

    pid: int
    version: ModelVersion
    group: Group | None
    why: str


class ProcessLimits:
    """Keeps processes to their limits; knows which processors it has given to how many.

    `groups` says why groups cannot be limited, "" where they can.
    """

    def __init__(self, groups: Callable[..., str] = why_unlimited) -> None:
        self._why_unlimited = groups
        self._taken: Counter[int] = Counter()

    def keep(self, pid: int, version: ModelVersion, group: Group | None) -> Kept:
        """Keep a process that has just been started, and what it will start, to its limits.

        Raises:
            OSError: the kernel refuses that.
        """
        wanted = {MEMORY: version.memory_bytes, CPU: version.cpus}
        names = [name for name, limit in wanted.items() if limit is not None]
        if not names:
            return Kept()
        why = "none can be made" if group is None else self._why_unlimited(names)
        asked = _Asked(pid, version, None if why else group, why)
        memory, has_limit = self._memory(asked)
        cpus, processors = self._cpus(asked)
        words = [*memory, *cpus]
        if any(_BY_GROUP not in word for word in words):
            words.append(f"no {_BY_GROUP}: {why or 'the kernel refused it'}")
        return Kept(tuple(words), processors, has_limit)

    def release(self, kept: Kept) -> None:
        """Count the processors of a process that has ended as free."""
        self._taken.subtract(kept.processors)

    def _memory(self, asked: _Asked) -> tuple[list[str], bool]:
        size = asked.version.memory_bytes
        if size is None:
            return [], False
        shown = f"memory {shown_memory(size)}"
        if asked.group is not None and asked.group.limit_memory(size):
            return [f"{shown} ({_BY_GROUP})"], False
        resource.prlimit(asked.pid, resource.RLIMIT_DATA, (size, size))
        return [f"{shown} for each of its processes (RLIMIT_DATA)"], True

    def _cpus(self, asked: _Asked) -> tuple[list[str], frozenset[int]]:
        cpus = asked.version.cpus
        if cpus is None:
            return [], frozenset()
        if asked.group is not None and asked.group.limit_cpus(cpus):
            return [f"{shown_cpus(cpus)} ({_BY_GROUP})"], frozenset()
        known, count = os.sched_getaffinity(0), math.ceil(cpus)
        if count >= len(known):
            return [f"{shown_cpus(cpus)}: all that there are here ({len(known)})"], frozenset()
        chosen = frozenset(sorted(known, key=lambda each: (self._taken[each], each))[:count])
        os.sched_setaffinity(asked.pid, chosen)
        self._taken.update(chosen)
        rounded = "" if count == cpus else f", rounded up to {count}"
        names = ",".join(map(str, sorted(chosen)))
        return [f"{shown_cpus(cpus)}{rounded} (affinity: {names})"], chosen

"""The CUDA devices of this machine, without any library of theirs. Used by the launchers.

The kernel's driver lists them in /proc; where that is not to be seen, as in some sandboxes, their
nodes in /dev do; where there are no nodes either, as in Windows' subsystem, nvidia-smi says it.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servd.clock import Clock, monotonic
from servd.system.offspring import offspring

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
ORDER: Final = "CUDA_DEVICE_ORDER"
_ASK_S: Final = 10.0
_KEPT_S: Final = 60.0
_MINOR: Final = re.compile(r"^Device Minor:\s*(\d+)\s*$", re.MULTILINE)
_NODE: Final = re.compile(r"nvidia(\d+)")
_LISTED: Final = re.compile(r"^GPU (\d+): ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Device:
    """A CUDA device: `number` is what people call it here, `name` what CUDA is told."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"cuda:{self.number}"


class Devices:
    """What `root` and `environ` say of this machine; `find` is asked at each launch."""

    def __init__(
        self, environ: Mapping[str, str], root: Path = Path("/"), clock: Clock = monotonic
    ) -> None:
        self._environ = environ
        self._root = root
        self._clock = clock
        self._listed: tuple[float, list[str]] | None = None

    def find(self) -> tuple[Device, ...]:
        """Return the devices that replicas may have, by the bus that they are on. May block.

        Where this process was given some of the machine's only (CUDA_VISIBLE_DEVICES), those are
        numbered from 0.
        """
        names = self._of_driver() or self._of_nodes() or self._of_program()
        allowed = self._environ.get(VISIBLE)
        if allowed is not None and names:
            names = _allowed(allowed)
        return tuple(Device(number, name) for number, name in enumerate(names))

    def _of_driver(self) -> list[str]:
        folders = sorted(self._root.glob("proc/driver/nvidia/gpus/*/information"))
        return [str(number) for number, _ in enumerate(filter(self._is_usable, folders))]

    def _is_usable(self, information: Path) -> bool:
        """Whether a device of the driver is in this container: its node is."""
        try:
            found = _MINOR.search(information.read_text())
        except OSError:
            return False
        nodes = self._nodes()
        return not nodes or found is None or int(found[1]) in nodes

    def _of_nodes(self) -> list[str]:
        return [str(number) for number, _ in enumerate(self._nodes())]

    def _nodes(self) -> list[int]:
        found = (_NODE.fullmatch(path.name) for path in self._root.glob("dev/nvidia[0-9]*"))
        return sorted(int(name[1]) for name in found if name)

    def _of_program(self) -> list[str]:
        """Return what nvidia-smi lists, asked once a minute: it may take a second."""
        program = shutil.which("nvidia-smi", path=self._environ.get("PATH"))
        if program is None:
            return []
        now_s = self._clock()
        if self._listed is None or now_s - self._listed[0] >= _KEPT_S:
            self._listed = now_s, _listed(program)
        return self._listed[1]


def _listed(program: str) -> list[str]:
    try:
        asked = subprocess.Popen(
            [program, "-L"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return []
    offspring.own(asked.pid)
    with asked:
        try:
            said, _ = asked.communicate(timeout=_ASK_S)
        except subprocess.TimeoutExpired:
            asked.kill()
            said = b""
    offspring.disown(asked.pid)
    return _LISTED.findall(said.decode("utf-8", "replace"))


def _allowed(text: str) -> list[str]:
    """Return the names in CUDA_VISIBLE_DEVICES; what comes behind one that is none is hidden."""
    names: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if not name or name.startswith("-"):
            break
        names.append(name)
    return names

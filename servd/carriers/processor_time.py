"""Whether another process computes. Used by carriers.py of replicas on this machine."""


class ProcessorTime:
    """The processor time of a replica's process, by which a busy one is told from a stopped one.

    A call in C that keeps Python's lock, as sorting ten million numbers does, keeps heartbeats from
    being answered; the time that it takes on the processor goes on.
    """

    def __init__(self, pid: object) -> None:
        self._path = f"/proc/{pid}/stat"
        self._ticks = -1

    def has_grown(self) -> bool:
        """Whether it has used the processor since this was last asked; False the first time."""
        before, self._ticks = self._ticks, self._read()
        return 0 <= before < self._ticks

    def _read(self) -> int:
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123 - twice a second on the loop
                fields = file.read().rpartition(b") ")[2].split()
            return int(fields[11]) + int(fields[12])  # utime, stime: proc_pid_stat(5)
        except (OSError, IndexError, ValueError):
            return -1

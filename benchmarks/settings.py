"""What the command line says, for all parts."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Settings:
    """How long, how often, of what."""

    rounds: int
    seconds: float
    """Of each timed point."""

    warm_up_s: float
    workloads: tuple[str, ...]
    connections: tuple[int, ...]
    is_open_loop: bool
    are_baselines_timed: bool
    """Or asked for right answers only."""

    is_quick: bool
    work: Path
    """Environment, models, inputs: kept between runs."""

    out: Path
    """Results and pictures."""

    python: Path
    """The interpreter of the baselines."""

    threads: int = 1
    """Of the load generator, in a closed loop."""

    frontends: tuple[int, ...] = (1, 2, 4, 8)
    """How many front ends servd has, one daemon each: of many_mode.py."""

    carrier: str = "auto"
    """What carries messages to replicas: servd's setting of that name."""

    @property
    def carried(self) -> str:
        """What readers of figures are told of it."""
        which = "ZeroMQ" if self.carrier == "zmq" else "a unix stream"
        return f"Messages to replicas over {which} (carrier = {self.carrier})."

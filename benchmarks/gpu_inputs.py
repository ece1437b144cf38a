"""Make request bodies of G1 and the right outputs. Runs in the baselines' environment.

Called as `python -m benchmarks.gpu_inputs FOLDER` by gpu_mode.py, in a process that ends before
anything is timed, so that its share of the GPU is free then.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.workloads import ON_GPU

SEED = 11
AT_ONCE = 256
MARGIN = 0.02
"""By which a row's best class must lead, in standard deviations of a class's score.

Batches of other sizes are summed in another order: 1e-5 of a score is nobody's fault.
"""

Rows = list[list[float]]
Scores = Callable[[Rows], Sequence[Sequence[float]]]


def write_inputs(folder: Path, scores: Scores) -> None:
    """Write as many distinct bodies as the workload has, and the class of each."""
    rows, classes = clear_rows(random_rows(), scores, ON_GPU.inputs)
    bodies = (json.dumps({"input": row}, separators=(",", ":")) for row in rows)
    ON_GPU.bodies(folder).write_text("".join(f"{body}\n" for body in bodies))
    ON_GPU.expected(folder).write_text("".join(f"{each}\n" for each in classes))


def random_rows() -> Iterator[Rows]:
    """Yield rows of the workload's width without end, some at a time."""
    generator = random.Random(SEED)
    while True:
        yield [
            [round(generator.gauss(3.0, 2.0), 3) for _ in range(ON_GPU.columns)]
            for _ in range(AT_ONCE)
        ]


def clear_rows(source: Iterator[Rows], scores: Scores, count: int) -> tuple[Rows, list[int]]:
    """Return the first `count` rows that are not near an edge of classes, and their classes."""
    rows: Rows = []
    classes: list[int] = []
    while len(rows) < count:
        some = next(source)
        for row, each in zip(some, scores(some), strict=True):
            if is_clear(each):
                rows.append(row)
                classes.append(max(range(len(each)), key=each.__getitem__))
    return rows[:count], classes[:count]


def is_clear(scores: Sequence[float]) -> bool:
    """Return whether the best class leads by more than a batch of another size may change."""
    second, best = sorted(scores)[-2:]
    return best - second > MARGIN


if __name__ == "__main__":
    from benchmarks.models import residual

    write_inputs(Path(sys.argv[1]), lambda rows: residual.scores(rows).tolist())

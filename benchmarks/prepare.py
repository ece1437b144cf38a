"""Make models, request bodies and the right outputs. Runs in the baselines' environment.

Called as `python -m benchmarks.prepare FOLDER` by environment.py. The right outputs come from the
model called in this process, so a server that mixes up or alters answers shows.
"""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.models.func import feature_sum
from benchmarks.models.noop import noop
from benchmarks.models.train import SEED, table, train_all
from benchmarks.workloads import WORKLOADS, Workload


def main(folder: Path) -> None:
    """Write everything into `folder`; a last file says that it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    train_all(folder)
    for workload in WORKLOADS.values():
        write_inputs(workload, folder)
    (folder / "unique.bodies").write_text('{"input":[1@@@@@@@@.5,2.25,3.5]}\n')
    (folder / "complete").write_text("")


def write_inputs(workload: Workload, folder: Path) -> None:
    """Write distinct bodies of the workload, and the outputs that are right for them."""
    rows = inputs_of(workload)
    outputs = predict(workload, rows, folder)
    bodies = (json.dumps({"input": row}, separators=(",", ":")) for row in rows)
    workload.bodies(folder).write_text("".join(f"{body}\n" for body in bodies))
    workload.expected(folder).write_text("".join(f"{output}\n" for output in outputs))


def inputs_of(workload: Workload) -> list[Any]:
    """Return distinct inputs."""
    if workload.is_table:
        return table(workload.inputs, SEED + 1)
    generator = np.random.default_rng(SEED)
    decimals = 3 if workload.columns > 100 else 6
    rows = generator.normal(loc=3.0, scale=2.0, size=(workload.inputs, workload.columns))
    return rows.round(decimals).tolist()


def predict(workload: Workload, rows: list[Any], folder: Path) -> list[Any]:
    """Return what the model itself answers."""
    functions: dict[str, Callable[[list[list[float]]], list[Any]]] = {
        "feature_sum": feature_sum,
        "noop": noop,
    }
    if workload.name in functions:
        return functions[workload.name](rows)
    model = pickle.loads((folder / workload.target).read_bytes())
    return model.predict(pd.DataFrame(rows) if workload.is_table else np.array(rows)).tolist()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

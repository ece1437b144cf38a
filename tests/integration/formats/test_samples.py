"""The code that is printed for what is no model: saved as it is, it answers."""

import json
import sqlite3
import zipfile

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from servd.errors import TargetError
from servd.packing.kinds import find
from servd.packing.targets import parse_target
from servd.testing import loaded

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
MODEL = LinearRegression().fit(ROWS, [1.0, 2.0, 3.0])
CELLS = ["%matplotlib inline\n", "class M:\n", "    def predict(self, rows):\n"]
CELLS += ["        return [sum(row) for row in rows]\n", "model = M()"]


def notebook(path):
    """Write a notebook that makes a model."""
    cells = [{"cell_type": "markdown", "source": ["# No code"]}]
    cells.append({"cell_type": "code", "source": CELLS})
    path.write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5}))


def table(path):
    """Write a table of which the last column is to be predicted."""
    rows = [f"{at},{at % 7},{2 * at}" for at in range(90)]
    path.write_text("\n".join(["a,b,y", *rows]))


def database(path):
    """Write a database of one table."""
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE answers (x, y)")
        made.execute("INSERT INTO answers VALUES (1, 'one')")
    made.close()


def zipped(path):
    """Write a zip with a pickle in it."""
    joblib.dump(MODEL, path.with_name("inner.pkl"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_name("inner.pkl"), "inner.pkl")


CASES = {
    "train.ipynb": (notebook, [1.0, 2.0], 3.0),
    "rows.csv": (table, [3.0, 3.0], None),
    "w.npz": (lambda path: np.savez(path, W=np.array([2.0, 3.0])), [1.0, 2.0], 8.0),
    "w.npy": (lambda path: np.save(path, np.array([2.0, 3.0])), [1.0, 2.0], 8.0),
    "known.json": (lambda path: path.write_text('{"a": [1, 2]}'), "a", [1, 2]),
    "answers.db": (database, 1, [1, "one"]),
    "all.zip": (zipped, [0.0, 1.0], MODEL.predict(ROWS[:1]).tolist()[0]),
    "odd.bin": (lambda path: path.write_bytes(b"\1\2\3\4"), [1.0], 5.0),
}


@pytest.mark.parametrize("name", CASES)
def test_printed_code_answers(tmp_path, monkeypatch, name):
    """It is deployed as the hint says."""
    make, asked, wanted = CASES[name]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    with pytest.raises(TargetError) as caught:
        find(parse_target(name))
    lead, _, code = caught.value.hint.partition("\n\n")
    target = lead.rpartition("servd deploy ")[2]
    (tmp_path / target.partition(":")[0]).write_text(code)
    with loaded(target) as model:
        answer = model.predict(asked)
    assert wanted is None or answer == wanted

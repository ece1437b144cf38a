"""Makes files of catboost and PMML: `python others.py FOLDER`; tells what their libraries answer.

One line of JSON comes of it: by each file's name its inputs, and the answers.
"""

import json
import sys
from pathlib import Path

import catboost
import numpy as np
import pandas as pd
from sklearn_pmml_model.auto_detect import auto_detect_estimator

PMML = """<?xml version="1.0"?>
<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
<DataDictionary numberOfFields="3"><DataField name="a" optype="continuous" dataType="double"/>
<DataField name="b" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"/></DataDictionary>
<RegressionModel functionName="regression"><MiningSchema><MiningField name="a"/>
<MiningField name="b"/><MiningField name="y" usageType="target"/></MiningSchema>
<RegressionTable intercept="1.5"><NumericPredictor name="a" coefficient="2.25"/>
<NumericPredictor name="b" coefficient="-0.1"/></RegressionTable></RegressionModel></PMML>
"""
QUIET = {"iterations": 4, "depth": 2, "verbose": 0, "allow_writing_files": False}


def boosted(folder, asked):
    """Make a classifier of a table with categories, and a regression of numbers."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((200, 2)), columns=["age", "income"])
    frame["city"] = ["Oslo", "Rome"] * 100
    label = np.where(frame["age"] + frame["income"] > 1, "yes", "no")
    model = catboost.CatBoostClassifier(cat_features=["city"], **QUIET).fit(frame, label)
    model.save_model(str(folder / "classes.cbm"))
    asked["classes.cbm"] = {
        "inputs": frame[:5].to_dict("records"),
        "outputs": model.predict(frame[:5]).tolist(),
    }
    array = frame[["age", "income"]].to_numpy()
    model = catboost.CatBoostRegressor(**QUIET).fit(array, array.sum(1))
    model.save_model(str(folder / "numbers.cbm"))
    asked["numbers.cbm"] = {
        "inputs": array[:5].tolist(),
        "outputs": model.predict(array[:5]).tolist(),
    }


def documents(folder, asked):
    """Make a regression."""
    (folder / "score.pmml").write_text(PMML)
    model = auto_detect_estimator(pmml=str(folder / "score.pmml"))
    rows = [[1.0, 3.0], [-2.5, 0.1]]
    asked["score.pmml"] = {
        "inputs": [dict(zip("ab", row, strict=True)) for row in rows],
        "outputs": model.predict(np.array(rows)).tolist(),
    }


def main():
    """Make all of them."""
    folder = Path(sys.argv[1])
    asked = {}
    boosted(folder, asked)
    documents(folder, asked)
    print(json.dumps(asked))


main()

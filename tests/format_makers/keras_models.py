"""Makes Keras' files in a folder: `python keras_models.py FOLDER`, in an environment with Keras.

Prints a JSON object of each file's inputs and what Keras itself answers to them, one at a time.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

ROWS = [[1.0, 2.0, 3.0, 4.5], [0.25, -1.0, 0.0, 10.0]]
PICTURES = [[[[7]] * 6] * 6, [[[255]] * 6] * 6]
PAIRS = [{"a": [1.0, 2.0], "b": [1, 2, 3]}, {"a": [0.5, 0.0], "b": [9, 9, 9]}]


def models():
    """Give each model with its name and inputs."""
    rows = [keras.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(3)]
    yield "rows.keras", keras.Sequential(rows), ROWS
    picture = keras.Input((6, 6, 1), dtype="uint8", name="picture")
    inner = layers.Flatten()(layers.Conv2D(2, 3)(layers.Rescaling(1 / 255)(picture)))
    ends = {"kind": layers.Dense(2, name="kind")(inner), "age": layers.Dense(1, name="age")(inner)}
    yield "pictures.keras", keras.Model(picture, ends), PICTURES
    left, right = keras.Input((2,), name="a"), keras.Input((3,), dtype="int32", name="b")
    words = layers.Flatten()(layers.Embedding(10, 3)(right))
    both = layers.Dense(1)(layers.Concatenate()([left, words]))
    yield "pair.keras", keras.Model([left, right], both), PAIRS
    code = [keras.Input((4,)), layers.Lambda(lambda x: x * 2), layers.Dense(1)]
    yield "lambda.keras", keras.Sequential(code), ROWS


def plain(value):
    """Return what a model answered to one row."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value[0].tolist()


def main():
    """Make all of them."""
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(1)
    asked = {}
    for name, model, inputs in models():
        model.save(folder / name)
        again = keras.saving.load_model(folder / name, compile=False, safe_mode=False)
        answers = []
        for row in inputs:
            parts = row.values() if isinstance(row, dict) else [row]
            kinds = [each.dtype for each in again.inputs]
            given = [np.array([part], kind) for part, kind in zip(parts, kinds, strict=True)]
            answers.append(plain(again.predict(given if len(given) > 1 else given[0], verbose=0)))
        asked[name] = [inputs, answers]
    print(json.dumps(asked))


main()

"""Dies in C where the first number of an input is negative."""

import os


def predict(inputs):
    if any(x[0] < 0 for x in inputs):
        os.abort()
    return [float(sum(x)) for x in inputs]

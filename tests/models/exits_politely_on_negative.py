"""Calls sys.exit where the first number of an input is negative."""

import sys


def predict(inputs):
    if any(x[0] < 0 for x in inputs):
        sys.exit("no negative numbers")
    return [float(sum(x)) for x in inputs]

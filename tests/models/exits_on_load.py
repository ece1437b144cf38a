"""Ends the program when imported, as a script without a main guard does."""

import sys


def predict(inputs):
    return [0 for _ in inputs]


sys.exit("done training")

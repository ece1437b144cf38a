"""Ends the program, without cleaning up, where the first number of an input is negative."""

import os


def predict(inputs):
    if any(x[0] < 0 for x in inputs):
        os._exit(9)
    return [float(sum(x)) for x in inputs]

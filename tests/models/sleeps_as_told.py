"""Sleeps as many milliseconds as the first number of its slowest input says."""

import time


def predict(inputs):
    time.sleep(max(0.0, max(float(x[0]) for x in inputs)) / 1000)
    return [float(x[0]) for x in inputs]

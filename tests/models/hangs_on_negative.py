"""Never answers where the first number of an input is negative."""

import threading


def predict(inputs):
    if any(x[0] < 0 for x in inputs):
        threading.Event().wait()
    return [float(sum(x)) for x in inputs]

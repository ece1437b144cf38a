"""Dies in C: no exception, no exit code."""

import os


def predict(inputs):
    os.abort()

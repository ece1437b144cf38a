"""Takes SLOW_LOAD_S seconds (default 2) to load."""

import os
import time

time.sleep(float(os.environ.get("SLOW_LOAD_S", "2")))


def predict(inputs):
    return [1.0 for _ in inputs]

"""Takes SLOW_PREDICT_S seconds (default 0.1) for each batch."""

import os
import time

DELAY_S = float(os.environ.get("SLOW_PREDICT_S", "0.1"))


def predict(inputs):
    time.sleep(DELAY_S)
    return [float(sum(x)) for x in inputs]

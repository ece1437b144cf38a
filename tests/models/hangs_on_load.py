"""Never finishes loading."""

import threading

threading.Event().wait()


def predict(inputs):
    return [0 for _ in inputs]

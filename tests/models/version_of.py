"""Answers the version it runs as."""

import os


def predict(inputs):
    return [os.environ.get("SERVD_MODEL_VERSION", "?") for _ in inputs]

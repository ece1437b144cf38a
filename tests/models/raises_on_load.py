"""Raises while it is imported."""


def read_weights():
    raise ValueError("weights are damaged")


WEIGHTS = read_weights()


def predict(inputs):
    return [0 for _ in inputs]

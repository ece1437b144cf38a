"""Needs two arguments."""


def predict(inputs, weights):
    return [1.0 for _ in inputs]

"""Answers a number instead of a list."""


def predict(inputs):
    return 6.6

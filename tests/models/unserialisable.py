"""Answers objects that JSON does not have."""


def predict(inputs):
    return [object() for _ in inputs]

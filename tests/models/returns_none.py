"""Forgets to return."""


def predict(inputs):
    [sum(x) for x in inputs]

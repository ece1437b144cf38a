"""Answers NaN and infinities."""


def predict(inputs):
    return [[float("nan"), float("inf"), float("-inf")] for _ in inputs]

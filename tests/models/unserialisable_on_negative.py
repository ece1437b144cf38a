"""Answers an object that JSON does not have where the first number of an input is negative."""


def predict(inputs):
    return [float(sum(x)) if x[0] >= 0 else object() for x in inputs]

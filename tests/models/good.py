"""Answers the sum of each input, as text: Clipper's first example."""


def predict(inputs):
    return [str(sum(x)) for x in inputs]

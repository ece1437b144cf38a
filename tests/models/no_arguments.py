"""Takes no argument."""


def predict():
    return [1.0]

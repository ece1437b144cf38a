"""Is no Python."""


def predict(inputs):
    return [sum(x for x in inputs]

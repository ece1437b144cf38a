"""Uses the third number of each input, as a model of fixed length does."""


def predict(inputs):
    return [float(x[2]) for x in inputs]

"""Raises an exception whose text quotes a megabyte."""


def predict(inputs):
    raise ValueError("z" * 1_000_000 + str(len(inputs)))

"""The scoring service's model alone: a function that answers what it gets."""


def score(xs):
    return xs

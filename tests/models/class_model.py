"""A class with load and predict(X, names, meta), as Seldon's models are."""


class Model:
    def __init__(self):
        self.loads = 0

    def load(self):
        self.loads += 1

    def predict(self, X, names, meta):
        return [[float(sum(x)), self.loads, len(names), len(meta)] for x in X]


class Plain:
    def predict(self, X):
        return [float(max(x)) for x in X]


class NeedsArguments:
    def __init__(self, path):
        self.path = path

    def predict(self, X):
        return [0 for _ in X]


class NoPredict:
    def answer(self, X):
        return [0 for _ in X]

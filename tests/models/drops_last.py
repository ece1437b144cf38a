"""Answers one output fewer than inputs."""


def predict(inputs):
    return [1.0 for _ in inputs][:-1]

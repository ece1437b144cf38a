"""Answers one output whatever the number of inputs."""


def predict(inputs):
    return [1.0]

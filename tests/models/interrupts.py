"""Raises what an interrupt from the keyboard would."""


def predict(inputs):
    raise KeyboardInterrupt(len(inputs))

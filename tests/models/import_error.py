"""Imports a module that nobody has."""

import surely_not_installed_anywhere


def predict(inputs):
    return surely_not_installed_anywhere.predict(inputs)

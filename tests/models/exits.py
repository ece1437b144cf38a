"""Ends the program when called."""

import sys


def predict(inputs):
    sys.exit(7)

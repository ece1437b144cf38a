"""Prints a megabyte at import and at each call."""

import sys

print("x" * (1 << 20))


def predict(inputs):
    print("y" * (1 << 20))
    sys.stderr.write("z" * 1000 + "\n")
    return [1.0 for _ in inputs]

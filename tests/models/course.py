"""A function as a course of web frameworks has it: its parameters are what a query gives."""


def predict(feature_1: int = 0, feature_2: int = 0) -> dict[str, int]:
    """Return the sum."""
    return {"sum": feature_1 + feature_2}

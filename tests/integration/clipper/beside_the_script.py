"""A module of the user's own that a function to be deployed names."""


def size(text: str) -> int:
    """Return how long a text is."""
    return len(text)

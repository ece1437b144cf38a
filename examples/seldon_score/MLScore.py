"""A model as Seldon Core wraps it: a class with predict. What it is called with comes back."""


class MLScore:
    """Made once in each replica."""

    def predict(self, X, names, meta=None):  # noqa: ARG002, N803 - Seldon Core's names
        """Answer a message's array, of which `names` are the columns."""
        return X

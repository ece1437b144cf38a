"""A class of Seldon Core's, for servd and for Seldon's own wrapper."""

from typing import Any


class SeldonScore:
    """Sums by row."""

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:  # noqa: ARG002, N803  # Seldon's
        """Return a column of sums."""
        return X.sum(axis=1, keepdims=True)

"""Classes that are written for Seldon Core, of each arity and with each method."""

import threading

LOCK = threading.Lock()


class Score:
    """The data itself, as a guide has it."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def load(self):
        """Begin to count."""
        self.calls = 0

    def predict(self, X, names, meta=None):
        """Return what came."""
        self.calls += 1
        return X


class Named:
    """One with all that is said beside."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def load(self):
        """Begin to count."""
        self.calls = 0

    def predict(self, X, features_names=None, **kwargs):
        """Return sums by row, and how it was called."""
        self.calls += 1
        self.seen = [list(features_names), kwargs.get("meta")]
        return [[float(sum(row)), self.alpha] for row in X]

    def class_names(self):
        """Name the columns."""
        return ["sum", "alpha"]

    def tags(self):
        """Tell how it was called."""
        return {"names": self.seen[0]}

    def metrics(self):
        """Count the calls."""
        return [{"type": "COUNTER", "key": "calls", "value": self.calls}]

    def health_status(self):
        """Say how it is."""
        return "well"

    def init_metadata(self):
        """Say what it is."""
        return {"name": "named", "versions": ["v7"], "platform": "own"}

    def transform_input(self, X, names, meta):
        """Double it."""
        return X * 2

    def transform_output(self, X, names):
        """Halve it."""
        return X / 2

    def send_feedback(self, features, feature_names, reward, truth, routing=None):
        """Tell what came."""
        return [reward, float(features.sum()), float(truth.sum())]


class Raw:
    """One that takes the message itself."""

    def predict_raw(self, message):
        """Answer with a message."""
        if "strData" in message and message["strData"] == "teapot":
            return {"status": {"code": 418, "info": "short and stout", "status": "FAILURE"}}
        return {"jsonData": {"keys": sorted(message)}, "meta": {"tags": {"raw": True}}}


class OnlyData:
    """One whose predict takes only the data."""

    def predict(self, X):
        """Return what kind of thing came."""
        return {"type": type(X).__name__}

    def class_names(self):
        """Name nothing."""
        return []


class Failing:
    """One that raises."""

    def predict(self, X, names):
        """Raise, as Seldon's own exception or any other."""
        if len(X) == 1:
            raise Refused
        raise ValueError("boom")


class Refused(Exception):
    """Has what Seldon's own exception has."""

    status_code = 418
    message = "not this one"
    reason = "MICROSERVICE_TEAPOT"


class BadMetrics(Score):
    """One whose metrics are none."""

    def metrics(self):
        """Return a metric without a value."""
        return [{"key": "k"}]


class NoInput:
    """One whose predict takes nothing."""

    def predict(self):
        """Return nothing."""
        return []

    def class_names(self):
        """Name nothing."""
        return []


class TooMany:
    """One whose predict needs more than there is."""

    def predict(self, X, names, meta, more):
        """Return nothing."""
        return []


class Transformer:
    """One that only transforms."""

    def transform_input(self, X, names):
        """Add one."""
        return X + 1


class Plain:
    """No class of Seldon's."""

    def predict(self, xs):
        """Return sums."""
        return [float(sum(x)) for x in xs]

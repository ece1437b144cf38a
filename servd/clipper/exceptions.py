"""What Clipper's clients catch. Raised by everything in this package."""

from typing import Any


class ClipperException(Exception):
    """Something that the cluster refused, or that cannot be done; `msg` says what."""

    def __init__(self, msg: str, *args: Any) -> None:
        self.msg = msg
        super().__init__(msg, *args)


class UnconnectedException(ClipperException):
    """The connection was asked for something before it had connected."""

    def __init__(self, *args: Any) -> None:
        self.message = (
            "No connection to Clipper cluster. Call ClipperConnection.connect to "
            "connect to an existing cluster or ClipperConnnection.start_clipper to "
            "create a new one"
        )
        super().__init__(self.message, *args)

"""Trying again what fails for a while. Used by clipper_admin.py and image_builds.py."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def retry(
    exceptions: type[BaseException] | tuple[type[BaseException], ...],
    tries: int = 4,
    delay: float = 3,
    backoff: float = 2,
    logger: Any = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that calls a function up to `tries` times, where it raises these.

    It waits `delay` seconds after the first failure and `backoff` times as long after each other.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            wait_s = delay
            for _ in range(tries - 1):
                try:
                    return function(*args, **kwargs)
                except exceptions as error:
                    if logger is not None:
                        logger.warning("%s, Retrying in %d seconds...", error, wait_s)
                    time.sleep(wait_s)
                    wait_s *= backoff
            return function(*args, **kwargs)

        return call

    return decorate

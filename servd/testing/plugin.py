"""Fixtures for pytest: `pytest_plugins = ["servd.testing.plugin"]` in a conftest.py gives them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from servd.client.client import Client
from servd.client.local import local
from servd.client.trial import Trial, loaded


@pytest.fixture(scope="session")
def servd_client() -> Iterator[Client]:
    """Yield a client of a daemon of the tests' own, which ends with them."""
    with local() as client:
        yield client


@pytest.fixture
def servd_model() -> Iterator[Callable[..., Trial]]:
    """Yield a function that loads a model as a replica would; its arguments are `loaded`'s."""
    with ExitStack() as stack:

        def load(target: Any, **options: Any) -> Trial:
            return stack.enter_context(loaded(target, **options))

        yield load

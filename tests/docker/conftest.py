"""Fixtures of the tests that need a real Docker engine."""

import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """Yield a client of the engine; without one the tests are skipped, and fail where CI runs."""
    from servd.errors import EngineError
    from servd.imaging.engine import connect

    try:
        client = connect()
    except EngineError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(error.message)
        pytest.skip(error.message)
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: Any) -> str:
    """Return a base image with Python and pip that the engine has."""
    name = os.environ.get("SERVD_TEST_BASE_IMAGE", "servd-test-base:latest")
    if not engine.images.list(name=name):
        pytest.skip(f"there is no image {name}")
    return name

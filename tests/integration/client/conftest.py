"""A daemon that the tests of a file share, as `servd.local` gives it."""

import pytest

import servd


@pytest.fixture(scope="module")
def client():
    """Yield a client of a daemon of its own."""
    with servd.local() as client:
        yield client

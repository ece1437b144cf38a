"""The state that the tests of exports share; schemas are read once."""

import functools
from collections.abc import Iterator

import pytest
from kubernetes_validate import utils

from tests.export_state import objects, registry, secured, snapshot

__all__ = ["objects", "registry", "secured", "snapshot"]


@pytest.fixture(scope="session", autouse=True)
def _schemas() -> Iterator[None]:
    """Keep what is read: the package parses all definitions anew for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield

"""Keeps, in tests of exports, what is read and written again and again. Fixtures of conftest.py."""

import functools
from collections.abc import Callable, Iterator

import pytest
from kubernetes_validate import utils

from k8s_adapter import check, render
from k8s_adapter.identity import Object


@pytest.fixture(scope="session", autouse=True)
def kept_schemas() -> Iterator[None]:
    """Keep what is read: the package parses all definitions anew for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


def _once(write: Callable[[Object], str]) -> Callable[[Object], str]:
    """Return a function that writes equal objects once."""
    texts: dict[str, str] = {}

    def written(body: Object) -> str:
        key = repr(body)
        if key not in texts:
            texts[key] = write(body)
        return texts[key]

    return written


@pytest.fixture(scope="session", autouse=True)
def kept_texts() -> Iterator[None]:
    """Keep what is written and read: most tests change one object of thirty, and YAML is slow.

    A check changes nothing of what it reads.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "to_yaml", _once(render.to_yaml))
        patch.setattr(check, "_parse", functools.cache(check._parse))
        yield

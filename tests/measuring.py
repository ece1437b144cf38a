"""What of the tests `make coverage` measures: which ones, and of which the processes as well.

Measuring costs a process about as much as its start does, and most tests start processes that run
what others have run: hundreds of them a model's discovery alone. It makes Python run at half its
speed, so the examples that Hypothesis makes up, hundreds that run the same lines, are not measured,
nor are tests that are marked as slow or as repeating: others have run what they repeat.
Called by pytest, as conftest.py takes it in.
"""

import functools
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import coverage
import pytest
from coverage.config import CoverageConfig

MEASURED = (
    *("tests/e2e/test_cli.py", "tests/e2e/test_choice.py", "tests/integration/clipper/"),
    *("tests/integration/http/", "tests/integration/model_runtime/"),
    *("tests/integration/cli/test_deploy.py", "tests/integration/finding/test_hints.py"),
    *("tests/integration/packing/test_bundling.py", "tests/integration/packing/test_targets.py"),
    *("tests/integration/processes/test_daemon.py", "tests/integration/frontends/test_pool.py"),
    "tests/integration/replicas/launchers/test_process_launcher.py",
    *("tests/integration/processes/test_serve_one.py", "tests/integration/client/test_trial.py"),
    *("tests/integration/environments/test_store.py", "tests/integration/test_seldon.py"),
)
"""How their names begin, from the root of the repository."""

_TOLD = "COVERAGE_PROCESS_CONFIG"
"""By this variable coverage.py measures in a process that inherits it."""


def _is_repeating(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) is not None for name in ("slow", "repeats"))


@functools.cache
def _without_search(told: str) -> str:
    """Return the configuration with which a process looks at no file that it does not run.

    Of each source that no process runs coverage.py notes that. This process does, for all; each of
    the others would search the folders and write hundreds of names, for a third of what it costs
    to measure it.
    """
    config = CoverageConfig.deserialize(told)
    config.run_include = [f"{Path(folder).absolute()}/*" for folder in config.source or ()]
    config.source = None
    return config.serialize()


@contextmanager
def _paused(item: pytest.Item) -> Iterator[None]:
    """Measure nothing in this process meanwhile, where the test runs the same lines many times."""
    measured = coverage.Coverage.current()
    has_examples = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    if measured is None or not (has_examples or _is_repeating(item)):
        yield
        return
    measured.stop()
    try:
        yield
    finally:
        measured.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Hide the variable from the processes of tests that are not measured."""
    is_measured = item.nodeid.startswith(MEASURED) and not _is_repeating(item)
    told = os.environ.pop(_TOLD, None)
    if told is not None and is_measured:
        os.environ[_TOLD] = _without_search(told)
    try:
        with _paused(item):
            return (yield)
    finally:
        if told is not None:
            os.environ[_TOLD] = told

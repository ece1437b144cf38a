"""Makes a skipped test a failure in CI, where all that tests need is installed.

Called by pytest, as conftest.py takes it in. Elsewhere a test that lacks a program or a right is
skipped with the reason. In CI nobody reads those lines, and what is never run holds nothing.
"""

import os
from collections.abc import Generator

import pytest


def _must_run(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that says what was missing."""
    # A test that is expected to fail is reported as skipped too, but was run.
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        skip = report.longrepr
        reason = skip[2] if isinstance(skip, tuple) else str(skip)
        report.outcome = "failed"
        report.longrepr = f"{reason}\nCI must run every test: .ci/run has to install what it needs"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at the outcome of each test."""
    report = yield
    _must_run(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at each file, since one may skip itself as a whole."""
    report = yield
    _must_run(report)
    return report

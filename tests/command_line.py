"""Runs command lines in this process."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from servd.cli.main import cli


@pytest.fixture
def run() -> Callable[..., Result]:
    """Return a function that runs `servd ARGS`; stdout and stderr are kept apart."""

    def invoke(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, list(args), input=stdin)

    return invoke

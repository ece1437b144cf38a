"""What answers queries imports only what its image has."""

import os
import subprocess
import sys

import pytest

from servd.imaging import requirements
from servd.imaging.requirements import constraints_of, normal, requirements_of


@pytest.mark.parametrize(
    "module",
    [
        "servd.processes.serve_one",
        "servd.cli.serve_one_body",
        "servd.cli.frontend_body",
        "servd.processes.frontend",
    ],
)
def test_what_answers_queries_needs_only_what_its_image_has(module):
    """An import beyond the list would fail in the image and nowhere else."""
    source = (
        f"import sys, importlib.metadata as m; import {module}; "
        "owners = m.packages_distributions(); own = sys.stdlib_module_names; "
        "names = {name.partition('.')[0] for name in sys.modules} - own; "
        "print(*{owner for name in names for owner in owners.get(name, ())})"
    )
    # What measures the tests is no part of it.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, env=env
    )
    # Some packages import these where they are there, and do without where they are not.
    allowed = {*requirements.SERVING, "servd", "setuptools", "typing-extensions"}
    brought = constraints_of(requirements_of("standalone", {}))
    assert {normal(name) for name in done.stdout.split()} <= allowed | set(brought)

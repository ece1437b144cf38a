"""Which environment the user works in, and what is passed over before it."""

import os
import subprocess
import sys

import pytest

from servd.environments.interpreter import own
from servd.finding.active import find_active


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the folder of an environment that is not servd's own."""
    folder = tmp_path_factory.mktemp("project") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    return folder


def test_what_is_activated_counts_before_what_lies_beside(environment, tmp_path):
    """And that before conda's, which is often active without anybody having meant it."""
    project = environment.parent
    there = {"VIRTUAL_ENV": str(environment), "CONDA_PREFIX": sys.prefix}
    assert find_active([tmp_path], there).why == "it is active"
    assert find_active([tmp_path, project], {}).why == f"it lies in {project}"
    conda = {"CONDA_PREFIX": str(environment)}
    assert find_active([tmp_path], conda).why == "conda has it active"
    assert find_active([tmp_path], {}).interpreter is None


def test_servds_own_is_itself_however_it_is_named(tmp_path):
    """It ends the search: nothing else is active then."""
    found = find_active([tmp_path], {"VIRTUAL_ENV": sys.prefix})
    assert found.interpreter is own()
    (tmp_path / ".venv").symlink_to(sys.prefix)
    assert find_active([tmp_path], {}).interpreter is own()


def test_one_that_cannot_be_used_is_passed_over_by_name(environment, tmp_path):
    """Gone, broken, a file, a folder without a Python: each is said, and the next counts."""
    broken = tmp_path / ".venv"
    (broken / "bin").mkdir(parents=True)
    (broken / "bin" / "python").symlink_to("/gone/python3")
    gone = {"VIRTUAL_ENV": "/gone", "CONDA_PREFIX": str(environment)}
    found = find_active([tmp_path], gone)
    assert found.why == "conda has it active"
    first, second = found.remarks
    assert first == "VIRTUAL_ENV=/gone is not used: there is no Python at /gone"
    assert f"{broken} is not used: the Python of the environment {broken} is gone" in second
    assert "python3 -m venv --clear" in second


def test_a_file_may_name_the_environment(environment, tmp_path):
    """As some tools write it; any other file is said not to be one."""
    (tmp_path / ".venv").write_text(f"{environment}\n")
    assert find_active([tmp_path], {}).interpreter.prefix == environment
    (tmp_path / ".venv").write_bytes(os.urandom(64))
    (remark,) = find_active([tmp_path], {}).remarks
    assert f"{tmp_path}/.venv is not used: " in remark

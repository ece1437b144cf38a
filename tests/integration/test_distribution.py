"""The source distribution and the wheel: what is in the packages is in them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts.single_file import copy_of_sources, sources

PACKAGES = ("servd", "model_runtime", "k8s_adapter")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Return the folder of both, the wheel made of what is in the source distribution."""
    folder = tmp_path_factory.mktemp("distribution")
    clone = copy_of_sources(folder)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(clone)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_wheel_has_all_files_of_the_packages(built):
    """The SQL of the registry and the page's files too, and nothing that is in no package."""
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {name for name in names if name.partition("/")[0] in PACKAGES}
    assert inside == {path.as_posix() for path in sources()}
    assert {name.partition("/")[0].partition("-")[0] for name in names} == set(PACKAGES)


def test_the_source_distribution_has_the_same(built):
    """It is what the wheel was made of."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {path.as_posix() for path in sources()} <= names

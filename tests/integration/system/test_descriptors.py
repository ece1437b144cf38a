"""Descriptors: the limit, and what is kept back of it. In processes of their own."""

import subprocess
import sys

import pytest

RUN = "import resource\nfrom servd.system import descriptors\n"


def python(code, soft, hard):
    """Return what code prints under limits of descriptors."""
    limits = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
    done = subprocess.run(
        [sys.executable, "-c", RUN + limits + code], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_the_soft_limit_is_raised_to_the_hard_one():
    """A shell's default of 1024 is no reason to refuse the 1025th client."""
    code = (
        "print(descriptors.raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "print(descriptors.raise_limit())"
    )
    assert python(code, 256, 512) == [512, 512, 512, 512]


@pytest.mark.parametrize(("soft", "least"), [(4096, 1024), (1024, 256), (256, 64), (32, 31)])
def test_a_share_is_kept_back(soft, least):
    """A quarter, 64 at least; what is open already counts; somebody may always come."""
    (count,) = python("print(descriptors.max_connections())", soft, soft)
    assert 1 <= count <= soft - least


def test_what_is_open_counts():
    """The more files, the fewer clients."""
    code = (
        "a = descriptors.max_connections()\n"
        "files = [open('/dev/null') for _ in range(50)]\n"
        "print(a - descriptors.max_connections())"
    )
    assert python(code, 1024, 1024) == [50]

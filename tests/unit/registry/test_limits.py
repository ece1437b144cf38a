"""What a replica may use: what is refused, and the rules where nothing is said."""

import pytest

from servd.errors import InvalidValueError
from servd.registry.limits import (
    check_device,
    check_limits,
    check_threads,
    device_number,
    out_of_memory,
    shown_memory,
    threads_of,
)
from tests.replicas import version_of


@pytest.mark.parametrize(
    ("asked", "cpus", "processors", "threads"),
    [
        (None, None, 8, 1),
        (None, 1.0, 8, 1),
        (None, 1.5, 8, 2),
        (None, 0.1, 8, 1),
        (None, 100.0, 8, 8),
        (3, 1.0, 8, 3),
        (16, None, 2, 16),
    ],
)
def test_threads_are_those_asked_for_else_as_many_as_processors(asked, cpus, processors, threads):
    """One where nothing is said; with --cpus as many as it may have, of those that there are."""
    version = version_of("-1", threads=asked, cpus=cpus)
    assert threads_of(version, processors) == threads


@pytest.mark.parametrize(
    ("memory_bytes", "runtime", "words"),
    [
        (1024, "process", "1.0 kB is too little memory for a replica: Python does not start"),
        (64 * 2**20 - 1, "process", "--memory 64MiB or more"),
        (0, "process", "too little memory"),
        (-(2**30), "process", "too little memory"),
        (1024, "docker", "for a container"),
        (2**60, "process", "more memory than any machine has"),
        (2**60, "docker", "with a unit"),
    ],
)
def test_memory_in_which_nothing_runs_is_refused(memory_bytes, runtime, words):
    """Before anything is started, with the least that would do."""
    with pytest.raises(InvalidValueError) as refused:
        check_limits(memory_bytes, None, None, runtime)
    assert words in f"{refused.value.message} {refused.value.hint}"


def test_memory_that_is_enough_is_taken():
    """A container may be smaller than a process, in which Python and servd's runtime are."""
    check_limits(64 * 2**20, 0.01, None, "process")
    check_limits(6 * 2**20, 1024, "all", "docker")


@pytest.mark.parametrize(
    ("device", "number"), [("cpu", None), ("auto", None), ("cuda", None), ("cuda:0", 0)]
)
def test_devices(device, number):
    """The words, and the number of the one that is meant."""
    assert device_number(device) == number
    check_device(device, None)


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:99999", "CPU"])
def test_what_is_no_device_is_refused(device):
    """With the words that there are."""
    with pytest.raises(InvalidValueError, match="is not a device") as refused:
        check_device(device, None)
    assert "cuda:N" in refused.value.hint


def test_devices_are_said_in_one_way():
    """Docker's word for them and servd's own could contradict each other."""
    check_device(None, "all")
    with pytest.raises(InvalidValueError, match="--device and --gpus"):
        check_device("cpu", "all")


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_numbers_of_threads_that_are_none(threads):
    """They are refused, by whichever API they come."""
    with pytest.raises(InvalidValueError, match="no number of threads"):
        check_threads(threads)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (2 * 2**30, "2 GiB"),
        (2 * 10**9, "2 GB"),
        (512 * 2**20, "512 MiB"),
        (1536 * 2**20, "1536 MiB"),
        (100_000_000, "95.37 MiB"),
    ],
)
def test_a_limit_is_shown_as_it_was_given(size, shown):
    """So that it is recognised in an error."""
    assert shown_memory(size) == shown
    assert out_of_memory(size).endswith(f"out of memory: its limit is {shown} (--memory)")

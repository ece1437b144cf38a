"""Memory that is kept for the bodies which come next."""

import subprocess
import sys

_MEASURE = """
import resource, sys
from servd.processes.lifecycle import keep_memory
if sys.argv[1:]:
    keep_memory()
def batch():
    return [bytes(150_000) + b"x" for _ in range(24)]
for _ in range(3):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments):
    """Return how many pages the system had to give for twenty batches of files."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_the_memory_of_a_batch_of_files_is_kept_for_the_next():
    """Else each page of it is taken from the system, and cleared, again."""
    assert faults("keep") < 200 < faults()

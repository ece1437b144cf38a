"""Every distinct input once, many at a time, each answer compared with what the model says."""

from benchmarks.loadgen import Load, faults_of, run_load
from benchmarks.settings import Settings
from benchmarks.workloads import Workload
from benchmarks.wrk import Target

CONNECTIONS = 64
CHECK_SLO_MS = 10_000
"""While answers are compared: a busy machine must not look like a wrong answer."""


class WrongAnswerError(Exception):
    """A server answered wrongly: no figure of it means anything."""


def check_answers(target: Target, workload: Workload, settings: Settings) -> int:
    """Return how many answers were compared.

    Raises:
        WrongAnswerError: one was an error, a default or not what the model says.
    """
    count = max(workload.inputs, 1_000)
    if target.name != "servd":
        count = min(count, 4_000)
    result = run_load(target, workload, settings, Load(CONNECTIONS, count=count))
    faults = faults_of(result) + result["defaults"]
    if faults or result["answered"] != count:
        figures = {name: value for name, value in result.items() if isinstance(value, int)}
        raise WrongAnswerError(f"{workload.key} on {target.name}: {faults} faults: {figures}")
    return count

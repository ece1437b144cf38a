"""Processes that a test waits for, of which it is not the parent."""

import psutil


def has_ended(pid: int) -> bool:
    """Tell whether a process has ended; what is left of it is its parent's to take, when it does.

    The process with number 1 of a container may take its time.
    """
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True

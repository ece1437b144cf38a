"""Starts processes that try to outlive it, as an input says, and returns their ids."""

import os
import subprocess
import sys

SLEEP = ["sleep", "300"]


def same_session():
    return subprocess.Popen(SLEEP).pid


def own_group():
    return subprocess.Popen(SLEEP, process_group=0).pid


def own_session():
    return subprocess.Popen(SLEEP, start_new_session=True).pid


def daemon(**options):
    """Fork twice, as daemons do; the one in the middle ends at once."""
    code = (
        "import os, subprocess, sys\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "print(os.getpid(), flush=True)\n"
        "null = os.open('/dev/null', os.O_RDWR)\n"
        "for n in (0, 1, 2): os.dup2(null, n)\n"
        "os.execvp('sleep', ['sleep', '300'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, **options)
    return int(done.stdout)


def hidden_daemon():
    """Without the environment it would be known by."""
    return daemon(env={"PATH": os.environ["PATH"]})


def predict(inputs):
    return [globals()[name]() if name else 0 for name in inputs]

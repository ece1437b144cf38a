"""Starts processes in each of the ways that models do; an input says in which."""

import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

FORK = multiprocessing.get_context("fork")
MADE = []
WAIT_S = 10


def square(number):
    return number * number


def asleep():
    time.sleep(60)


def state(queue):
    """Tell what a child has of its parent's: signals, sockets, threads."""
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    own = [d for d in map(int, os.listdir("/proc/self/fd")) if is_socket(d)]
    queue.put(
        {
            "term": handlers[0] is signal.SIG_DFL,
            "int": handlers[1] is signal.default_int_handler,
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "sockets": len(own),
            "threads": [t.name for t in threading.enumerate() if t.name.startswith("servd")],
        }
    )


def is_socket(descriptor):
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def pool():
    with FORK.Pool(2) as made:
        return made.map(square, [1, 2, 3])


def pool_made_once():
    if not MADE:
        MADE.append(FORK.Pool(2))
    return MADE[0].map(square, [1, 2, 3])


def pool_in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(pool()))
    thread.start()
    thread.join(WAIT_S)
    return found[0]


def executor():
    with ProcessPoolExecutor(2, mp_context=FORK) as made:
        return list(made.map(square, [1, 2, 3]))


def spawned():
    with multiprocessing.get_context("spawn").Pool(1) as made:
        return made.map(square, [1, 2, 3])


def from_a_server():
    with multiprocessing.get_context("forkserver").Pool(1) as made:
        return made.map(square, [1, 2, 3])


def joblib():
    from joblib import Parallel, delayed

    return Parallel(n_jobs=2, backend="loky")(delayed(square)(n) for n in (1, 2, 3))


def terminated():
    """End a child with SIGTERM at once, again and again: a signal that comes early counts too."""
    codes = []
    for pause_s in (0, 0, 0, 0.1):
        child = FORK.Process(target=asleep)
        child.start()
        time.sleep(pause_s)
        child.terminate()
        child.join(WAIT_S)
        codes.append(child.exitcode)
        child.kill()
    return codes


def interrupted():
    child = FORK.Process(target=asleep)
    child.start()
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGINT)
    child.join(WAIT_S)
    code = child.exitcode
    child.kill()
    return code


def program():
    """Run a program that a SIGINT ends, as it ends any that was not told to ignore it."""
    return subprocess.run(["sh", "-c", "kill -INT $$; sleep 10"], check=False).returncode


def raw_spawned():
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "kill -INT $$; sleep 10"], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def program_in_a_fork():
    run = subprocess.run(["sh", "-c", "exit 4"], check=False, preexec_fn=lambda: None)
    return run.returncode


def what_a_child_has():
    queue = FORK.SimpleQueue()
    child = FORK.Process(target=state, args=(queue,))
    child.start()
    child.join(WAIT_S)
    return queue.get()


def back_from_a_fork():
    """Fork children that come back from here, each in a way of its own."""
    codes = []
    for way in ("exit", "text", "raise", "return"):
        pid = os.fork()
        if pid == 0:
            if way == "exit":
                sys.exit(6)
            if way == "text":
                sys.exit("bye")
            if way == "raise":
                raise ValueError("the child's")
            return None
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return codes


def own_handler():
    """Install a handler as libraries do; a child that is forked then has it too."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
    return terminated()


def orphans():
    """Leave children behind that end a moment later, as programs and shells do."""
    for _ in range(3):
        subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)
    # Nobody takes the status of a child of the model from it.
    return [subprocess.run(["sh", "-c", "sleep 0.2; exit 4"], check=False).returncode, pool()]


def pid():
    return os.getpid()


def predict(inputs):
    return [globals()[name]() for name in inputs]

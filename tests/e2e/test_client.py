"""Code that is typed somewhere, deployed from there: it answers after its interpreter has gone."""

import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest

import servd
from tests.daemon import Daemon
from tests.e2e.steps import running_daemon

TYPED = """
import servd
factor = 3.0
class Scale:
    def __init__(self, by):
        self.by = by
    def of(self, x):
        return sum(x) * self.by * factor

scale = Scale(2.0)
def scaled(xs):
    return [scale.of(x) for x in xs]

client = servd.Client()
made = client.deploy(scaled, name=NAME, slo_ms=10000)
print("deployed", made.state)
"""
"""A closure over an object of a class that is nowhere but in the interpreter."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here."""
    with running_daemon() as running:
        yield running


def answers(daemon: Daemon, name: str) -> bool:
    """Tell whether the closure answers, now that nothing of it runs but the replica."""
    with servd.Client(data_dir=daemon.data_dir) as client:
        return bool(client.predict(name, [1.0, 2.0]).output == 18.0)


def test_from_a_command_line(daemon, tmp_path):
    """`python -c`."""
    done = subprocess.run(
        [sys.executable, "-c", TYPED.replace("NAME", "'typed'")],
        cwd=tmp_path,
        env=daemon.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "deployed live\n", done.stderr
    assert answers(daemon, "typed")


def test_from_an_interpreter(daemon, tmp_path):
    """Line by line at its prompt, on a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        # The plain prompt, also of a Python that has a better one.
        environ = daemon.env | {"PYTHON_BASIC_REPL": "1", "TERM": "dumb"}
        os.execve(sys.executable, [sys.executable, "-q"], environ)
    shown = b""
    try:
        for line in [*TYPED.replace("NAME", "'prompted'").splitlines(), "exit()"]:
            os.write(terminal, line.encode() + b"\n")
        deadline_s = time.monotonic() + 120
        while time.monotonic() < deadline_s and select.select([terminal], [], [], 120)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the other end is gone
                break
    finally:
        os.close(terminal)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert b"deployed live" in shown, shown.decode()
    assert answers(daemon, "prompted")


def test_from_a_notebook(daemon, tmp_path, monkeypatch):
    """Cell by cell, by a kernel; a module beside the notebook comes along."""
    for name, value in daemon.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "beside.py").write_text("WORD = 'beside'\n")
    *cells, last = TYPED.replace("NAME", "'cells'").strip().split("\n\n")
    with_module = textwrap.dedent(
        """
        import beside
        def worded(xs):
            return [beside.WORD for _ in xs]
        client.deploy(worded, slo_ms=10000)
        """
    )
    sources = [*cells, last, with_module]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    nbclient.NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    told = [each.get("text", "") for cell in notebook.cells for each in cell.outputs]
    assert "deployed live\n" in told
    assert answers(daemon, "cells")
    with servd.Client(data_dir=daemon.data_dir) as client:
        assert client.predict("worded", [1.0]).output == "beside"


def test_from_a_script_with_its_modules(daemon, tmp_path):
    """Run from another folder than its own."""
    folder = tmp_path / "project"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "__init__.py").write_text("")
    (folder / "lib" / "rates.py").write_text("RATE = 0.5\ndef half(x):\n    return sum(x) * RATE\n")
    (folder / "main.py").write_text(
        "import servd\nfrom lib import rates\n"
        "def halved(xs):\n    return [rates.half(x) for x in xs]\n"
        "if __name__ == '__main__':\n"
        "    servd.Client().deploy(halved, slo_ms=10000)\n"
    )
    done = subprocess.run(
        [sys.executable, str(folder / "main.py")],
        cwd=tmp_path,
        env=daemon.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with servd.Client(data_dir=daemon.data_dir) as client:
        assert client.predict("halved", [4.0]).output == 2.0


def test_an_array_of_200_mb_in_a_closure(daemon, tmp_path):
    """Is written once, without a copy in memory, and sent as it lies there."""
    code = """
        import resource, servd, numpy
        table = numpy.arange(25_000_000.0)
        def looked_up(xs):
            return [float(table[int(x[0])]) for x in xs]
        before = resource.getrusage(resource.RUSAGE_SELF)
        client = servd.Client()
        client.deploy(looked_up, slo_ms=10000)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(used_s, (after.ru_maxrss - before.ru_maxrss) / 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env=daemon.env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    used_s, grown_mib = map(float, done.stdout.split())
    # Of three seconds in all; the processor's time, as the clock's is also that of other tests.
    assert used_s < 1.5
    assert grown_mib < 100
    with servd.Client(data_dir=daemon.data_dir) as client:
        assert client.predict("looked_up", [24_999_999.0]).output == 24_999_999.0


def test_a_local_daemon_ends_with_its_block_and_with_its_process(tmp_path):
    """Also where the process is killed; nothing stays in its folder."""
    code = (
        "import os, servd\n"
        "with servd.local() as client:\n"
        "    print(client.status().pid, client.status().data_dir, flush=True)\n"
        "    if {kill}: os.kill(os.getpid(), 9)\n"
    )
    for kill in (False, True):
        done = subprocess.run(
            [sys.executable, "-c", code.format(kill=kill)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == (-9 if kill else 0), done.stderr
        pid, folder = done.stdout.split()
        deadline_s = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() or Path(folder).exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def test_from_a_module_under_pytest(daemon, tmp_path):
    """Neither pytest nor the module is in the replica."""
    (tmp_path / "test_it.py").write_text(
        "import pytest, servd\n"
        "SHIFT = 5.0\n"
        "@pytest.fixture\n"
        "def scale(): return 2.0\n"
        "def test_it(scale):\n"
        "    def shifted(xs):\n"
        "        return [sum(x) * scale + SHIFT for x in xs]\n"
        "    assert servd.Client().deploy(shifted, slo_ms=10000).state == 'live'\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis"],
        cwd=tmp_path,
        env=daemon.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    with servd.Client(data_dir=daemon.data_dir) as client:
        assert client.predict("shifted", [3.0]).output == 11.0

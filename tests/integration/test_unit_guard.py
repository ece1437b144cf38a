"""The guard of tests/unit/conftest.py in a run of pytest of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUILTY = {
    "process": "subprocess.run(['true'])",
    "fork": "os.fork() or os._exit(0)",
    "shell": "os.system('true')",
    "child_of_a_loop": "asyncio.run(spawned())",
    "child_of_uvloop": "uvloop.run(spawned())",
    "listener": "socket.socket().bind(('127.0.0.1', 0))",
    "unix_listener": "socket.socket(socket.AF_UNIX).bind(str(tmp_path / 's'))",
    "connection": "socket.socket().connect(('127.0.0.1', 1))",
    "datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
    "server_of_uvloop": "uvloop.run(served())",
    "zeromq": "zmq.Context().socket(zmq.PULL).bind('tcp://127.0.0.1:*')",
    "caught": "caught()",
    "fixture": "request.getfixturevalue('child')",
}
INNOCENT = {
    "pair": "socket.socketpair()",
    "loop": "asyncio.run(asyncio.sleep(0))",
    "uvloop": "uvloop.run(asyncio.sleep(0))",
    "inproc": "zmq.Context().socket(zmq.PULL).bind('inproc://a')",
}
HEAD = """
import asyncio, os, socket, subprocess, pytest, uvloop, zmq

async def spawned():
    await (await asyncio.create_subprocess_exec("true")).wait()

async def served():
    await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)

def caught():
    try:
        subprocess.run(["true"])
    except BaseException:
        pass

@pytest.fixture
def child():
    subprocess.run(["true"])
"""


def test_what_needs_a_process_or_a_socket_fails(tmp_path: Path) -> None:
    """Whoever asks, in a fixture too and where it is caught; pairs and loops are no sockets."""
    (tmp_path / "conftest.py").write_text(
        "from tests.unit.conftest import pytest_runtest_call, pytest_runtest_setup\n"
    )
    tests = [
        f"def test_{name}(tmp_path, request):\n    {body}\n"
        for name, body in {**GUILTY, **INNOCENT}.items()
    ]
    (tmp_path / "test_it.py").write_text("\n".join([HEAD, *tests]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-n", "0", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = {
        line.split("::")[1].split()[0]: line.split()[0]
        for line in done.stdout.splitlines()
        if line.startswith(("FAILED", "PASSED", "ERROR")) and "::" in line
    }
    assert told == {
        **{f"test_{name}": "FAILED" for name in GUILTY},
        **{f"test_{name}": "PASSED" for name in INNOCENT},
    }, done.stdout
    assert done.stdout.count("a unit test needs no process and no socket") >= len(GUILTY)

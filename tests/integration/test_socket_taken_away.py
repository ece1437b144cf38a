"""A daemon whose socket or descriptors are taken away is still reached, and goes on."""

import json
import resource
import socket
import subprocess
import sys
import time

from tests.processes import has_ended

MODEL = "def f(xs):\n    return [1 for _ in xs]\n"
WAIT_S = 30.0


def wait_for(condition):
    """Wait until a condition holds, and insist on it."""
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_the_cli_finds_a_daemon_without_its_socket(daemon):
    """By its port at once, and by a socket that is made anew within seconds."""
    path = daemon.data_dir / "run" / "admin.sock"
    first = path.stat().st_ino
    path.unlink()
    for verb in ("status", "ps"):
        done = daemon.cli(verb, "--json")
        assert done.returncode == 0, done.stderr
    done = daemon.cli("start")
    assert done.returncode == 0
    assert "already running" in done.stdout
    wait_for(lambda: path.exists() and path.stat().st_ino != first)
    pid = daemon.pid
    path.unlink()
    done = daemon.cli("stop")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: has_ended(pid))


def test_a_token_is_needed_on_the_port_too(idle_daemon, monkeypatch):
    """Without its socket the daemon asks who comes by the port for it."""
    monkeypatch.setattr(type(idle_daemon), "env", property(with_token(idle_daemon.env)))
    idle_daemon.start()
    (idle_daemon.data_dir / "run" / "admin.sock").unlink()
    assert idle_daemon.cli("status").returncode == 0


def with_token(env):
    """Return a getter of the environment with a token."""
    return lambda _daemon: {**env, "SERVD_TOKEN": "s3cret-s3cret"}


def test_clients_leave_descriptors_for_the_daemon_itself(idle_daemon):
    """Beyond the limit they hear 503; a replica is launched, and a change written, all the same."""
    model = idle_daemon.data_dir.parent / "model.py"
    model.write_text(MODEL)
    done = subprocess.run(
        [sys.executable, "-m", "servd", "deploy", f"{model}:f", "--slo", "5s"],
        env=idle_daemon.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )
    assert done.returncode == 0, done.stderr
    crowd = []
    try:
        where = ("127.0.0.1", idle_daemon.query_port)
        crowd.extend(socket.create_connection(where) for _ in range(300))
        crowd[-1].settimeout(10)
        answer = crowd[-1].recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert json.loads(body)["error"] == "Too many connections"
        done = idle_daemon.cli("scale", "f", "3")
        assert done.returncode == 0, done.stderr
        assert idle_daemon.cli("app", "create", "a").returncode == 0
        crowd[0].settimeout(10)
        crowd[0].sendall(
            b'POST /f/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"input":[1]}'
        )
        assert b"200 OK" in crowd[0].recv(4096)
    finally:
        for client in crowd:
            client.close()
    log = (idle_daemon.data_dir / "logs" / "daemon.log").read_text()
    assert log.count("others are answered with 503") == 1

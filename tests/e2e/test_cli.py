"""The command line against a real daemon: every verb, and what a wrong word gets."""

import json
import os
import pickle
import pty
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from sklearn.linear_model import LogisticRegression

from servd.logs.log import unstamped
from tests.daemon import Daemon

MODELS = Path(__file__).parents[1] / "models"
FUNC = "import helpers\n\n\ndef feature_sum(xs):\n    return [helpers.total(x) for x in xs]\n"


@pytest.fixture
def project(idle_daemon):
    """Return a folder with func.py, its module and a pickle."""
    folder = idle_daemon.data_dir.parent / "project"
    folder.mkdir()
    (folder / "func.py").write_text(FUNC)
    (folder / "helpers.py").write_text("def total(x):\n    return str(sum(x))\n")
    model = LogisticRegression().fit([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]], [0, 1])
    (folder / "credit.pkl").write_bytes(pickle.dumps(model))
    return folder


def document(daemon: Daemon, *args: str, cwd: Path | None = None):
    """Return the JSON document that a command writes; insist that it worked."""
    done = daemon.cli(*args, "--json", cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def refused(daemon: Daemon, *args: str, cwd: Path | None = None) -> tuple[int, str]:
    """Return exit code and stderr of a command; insist that it printed no Python of ours."""
    done = daemon.cli(*args, cwd=cwd)
    assert done.returncode != 0, done.stdout
    assert "/servd/" not in done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
    return done.returncode, done.stderr


def test_from_a_function_to_an_answer(idle_daemon, project):
    """Deploy starts the daemon, says so, and prints a curl line that works."""
    done = idle_daemon.cli("deploy", "func.py:feature_sum", "--default", "-1.0", cwd=project)
    assert done.returncode == 0, done.stderr
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["started", "bundled", "loaded", "live", "curl"]
    assert "func.py + 1 local module (helpers.py)" in done.stdout
    answered = idle_daemon.cli("predict", "feature_sum", "[1.1, 2.2, 3.3]")
    assert json.loads(answered.stdout)["output"] == pytest.approx(6.6)
    assert idle_daemon.query("/feature_sum/predict", {"input": [1, 2]})[1]["output"] == 3.0
    status = document(idle_daemon, "status")
    assert (status["applications"], status["models"], status["replicas"]) == (1, 1, 1)
    assert status["pid"] == idle_daemon.pid
    assert status["query_url"] == idle_daemon.query_url


@pytest.mark.repeats
@pytest.mark.parametrize("is_guarded", [False, True], ids=["open", "token"])
def test_the_curl_line_of_a_deployment_works_when_pasted(idle_daemon, project, *, is_guarded):
    """The length, the type and the token are those of this very application."""
    texts = "def shout(xs):\n    return [x.upper() for x in xs]\n"
    (project / "texts.py").write_text(texts)
    if is_guarded:
        idle_daemon.data_dir.mkdir(exist_ok=True)
        (idle_daemon.data_dir / "servd.toml").write_text('token = "not-a-token"\n')
    for target in ("credit.pkl", "func.py:feature_sum", "texts.py:shout"):
        flags = ["--input-type", "strings"] if target.startswith("texts") else []
        done = idle_daemon.cli("deploy", target, *flags, cwd=project)
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("  curl ")]
        answered = subprocess.run(
            ["/bin/sh", "-c", f"{line} --silent"],
            env=os.environ | {"SERVD_TOKEN": "not-a-token"},
            capture_output=True,
            check=True,
        )
        assert json.loads(answered.stdout)["default"] is False
        assert ("$SERVD_TOKEN" in line) == is_guarded


def test_the_life_of_a_model(daemon, project):
    """Versions, replicas, applications and their end, each verb in JSON."""
    first = document(daemon, "deploy", "func.py:feature_sum", "--name", "m", cwd=project)
    assert (first["event"], first["version"]) == ("live", "1")
    same = document(daemon, "deploy", "func.py", "--name", "m", "--version", "1", cwd=project)
    assert same["event"] == "unchanged"
    second = document(daemon, "deploy", "credit.pkl", "--name", "m", cwd=project)
    assert second["version"] == "2"
    assert document(daemon, "rollback", "m") == {"model": "m", "version": "1"}
    assert document(daemon, "scale", "m", "2")["ready"] == 2
    replicas = document(daemon, "ps")
    assert [row["replica"] for row in replicas if row["version"] == "1"] == [0, 1]
    assert all(psutil.pid_exists(row["pid"]) for row in replicas)
    assert document(daemon, "scale", "m:2", "0")["replicas"] == 0
    assert document(daemon, "model", "rm", "m:2")["removed"] == ["model"]
    document(daemon, "app", "create", "other", "--slo", "50ms")
    document(daemon, "app", "link", "other", "m")
    shown = document(daemon, "app", "show", "other")
    assert (shown["linked_models"], shown["slo_us"]) == (["m"], 50_000)
    assert {app["name"] for app in document(daemon, "app", "ls")} == {"m", "other"}
    document(daemon, "app", "unlink", "other", "m")
    document(daemon, "app", "rm", "other")
    assert document(daemon, "rm", "m")["removed"] == ["application", "model"]
    assert document(daemon, "model", "ls") == []
    assert document(daemon, "ps") == []
    assert document(daemon, "stop")["stopped"] is True
    assert refused(daemon, "stop")[0] == 3


def test_logs_follow_a_model(daemon):
    """What a replica prints is seen as it comes; so is the daemon's own log."""
    assert daemon.cli("deploy", str(MODELS / "prints_megabyte.py"), "--name", "p").returncode == 0
    followed = subprocess.Popen(
        [sys.executable, "-m", "servd", "logs", "-f", "-n", "0", "p"],
        env=daemon.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    with followed:
        assert followed.stdout is not None
        asking = threading.Event()

        def ask() -> None:
            # The follower may not be there yet at the first query.
            while not asking.wait(0.1):
                daemon.query("/p/predict", {"input": [float(os.urandom(1)[0])]})

        thread = threading.Thread(target=ask)
        thread.start()
        line = followed.stdout.readline()
        asking.set()
        thread.join()
        followed.send_signal(signal.SIGINT)
        followed.stdout.read()
    assert set(unstamped(line)[:1000]) in ({"y"}, {"z"})
    assert followed.returncode == 130
    assert "is ready" in daemon.cli("logs", "daemon").stdout


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("aborts.py", "ended (killed by signal 6: native code gave up)"),
        ("exits.py", "SystemExit: 7"),
        ("raises.py", "raise RuntimeError("),
        ("raises_on_load.py", "ValueError: weights are damaged"),
        ("non_list.py", "returned a value of type float"),
        ("returns_none.py", "returned None"),
        ("wrong_length.py", "1 output for 2 inputs"),
        ("unserialisable.py", "of type object"),
        ("syntax_error.py", "SyntaxError"),
        ("import_error.py", "pip install surely_not_installed_anywhere"),
        ("no_arguments.py", "cannot be called with one argument"),
    ],
)
def test_a_model_that_misbehaves_changes_nothing(shared_daemon, file, said):
    """One message, its own frames, exit code 1; the version before stays."""
    code, text = refused(shared_daemon, "deploy", f"{MODELS / file}:predict", "--name", "good")
    assert code == 1
    assert said in text
    assert "importlib" not in text
    models = document(shared_daemon, "model", "ls")
    assert [model["name"] for model in models] == ["good"]
    assert [(one["version"], one["ready"]) for one in models[0]["versions"]] == [("1", 1)]
    assert shared_daemon.query("/good/predict", {"input": [1, 2]})[1]["output"] == 3.0


def test_a_test_call_that_hangs_is_given_up(shared_daemon):
    """The daemon of this test waits a second for it."""
    code, text = refused(shared_daemon, "deploy", str(MODELS / "hangs.py"), "--name", "hangs")
    assert code == 1
    assert "the test call did not return within 1 s" in text


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("predict", "goood", "[1]"), 4, "did you mean good?"),
        (("predict", "good", '["a"]'), 1, "good takes doubles"),
        (("predict", "good", "[1"), 2, "is not JSON"),
        (("app", "show", "goo"), 4, "did you mean good?"),
        (("app", "create", "good"), 1, "already exists"),
        (("app", "create", "b d"), 2, "a name has letters, digits"),
        (("app", "create", "x", "--slo", "0"), 2, "must be above zero"),
        (("app", "link", "good", "nope"), 4, "No model with name 'nope' exists"),
        (("model", "show", "goo"), 4, "did you mean good?"),
        (("scale", "good:9", "1"), 4, "versions of good: 1"),
        (("scale", "good", "999"), 2, "must be 0 to 256"),
        (("rollback", "good"), 1, "no version before 1"),
        (("logs", "goo"), 4, "goo"),
        (("rm", "goo"), 4, "did you mean good?"),
        (("deploy", f"{MODELS}/poison.py", "--name", "good", "--version", "1"), 1, "files differ"),
        (("ps", "--admin", "http://127.0.0.1:1"), 3, "servd start"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(shared_daemon, args, code, said):
    """One message, a hint, the exit code."""
    found, text = refused(shared_daemon, *args)
    assert found == code
    assert said in text


def test_two_starts_at_once_make_one_daemon(idle_daemon):
    """Both return when it answers; one says that it started it."""
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "servd", "start", "--json"],
            env=idle_daemon.env,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [json.loads(command.communicate(timeout=30)[0]) for command in commands]
    assert sorted(status["started"] for status in said) == [False, True]
    assert said[0]["pid"] == said[1]["pid"] == idle_daemon.pid
    code, text = refused(idle_daemon, "run")
    assert code == 1
    assert f"runs on {idle_daemon.data_dir} already (pid {idle_daemon.pid})" in text


def test_a_killed_daemon_is_not_taken_for_a_running_one(daemon):
    """daemon.json stays behind; only an answer counts."""
    pid = daemon.pid
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    process.wait(10)
    assert refused(daemon, "status")[0] == 3
    daemon.start()
    assert daemon.pid != pid


@pytest.mark.repeats
def test_a_copy_of_a_data_directory_is_not_the_original(daemon):
    """No command on the copy reaches the original's daemon, and a start on it ends no replica."""
    assert daemon.cli("deploy", str(MODELS / "good.py")).returncode == 0
    copy = Daemon(daemon.data_dir.parent / "copy")
    # As cp -a does: with daemon.json, the sockets' places and the records of replicas.
    subprocess.run(["cp", "-a", daemon.data_dir, copy.data_dir], check=True)
    for verb in (("status",), ("stop",), ("ps",), ("rm", "good"), ("logs", "good")):
        assert refused(copy, *verb)[0] == 3
    try:
        copy.start()
        assert copy.pid != daemon.pid
        assert daemon.query("/good/predict", {"input": [1.0]})[0] == 200
        (row,) = json.loads(daemon.cli("ps", "--json").stdout)
        assert (row["state"], row["restarts"]) == ("ready", 0)
    finally:
        copy.stop()
    assert daemon.cli("status").returncode == 0


def test_a_taken_port_is_named_with_its_holder(idle_daemon):
    """The hint gives the flag."""
    with socket.create_server(("127.0.0.1", idle_daemon.query_port)):
        code, text = refused(idle_daemon, "start")
        _, of_deploy = refused(idle_daemon, "deploy", str(MODELS / "good.py"))
    assert "hint:  choose another one: servd start --query-port PORT" in of_deploy
    assert code == 1
    assert f"port {idle_daemon.query_port} is taken by" in text
    assert f"(pid {os.getpid()})" in text
    assert "--query-port" in text


def test_a_data_directory_that_cannot_be_written_is_named(idle_daemon):
    """A folder cannot be below a file."""
    (idle_daemon.data_dir.parent / "file").write_text("")
    folder = str(idle_daemon.data_dir.parent / "file" / "x")
    for verb in (("start",), ("run",), ("deploy", f"{MODELS}/good.py")):
        code, text = refused(idle_daemon, *verb, "--data-dir", folder)
        assert code == 1
        assert f"the data directory cannot be written: {folder}" in text


def test_a_corrupt_database_is_kept(idle_daemon):
    """The daemon refuses to start and says which file."""
    idle_daemon.data_dir.mkdir()
    database = idle_daemon.data_dir / "servd.db"
    database.write_text("this is no database, but somebody's last copy of something")
    before = database.read_bytes()
    code, text = refused(idle_daemon, "start")
    assert code == 1
    assert str(database) in text
    assert database.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk is root's")
def test_a_full_disk_is_told(idle_daemon):
    """Nothing starts on it, and nothing is lost of what runs when it fills up."""
    idle_daemon.data_dir.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(idle_daemon.data_dir)]
    if shutil.which("mount") is None or subprocess.run(mounting, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    filler = idle_daemon.data_dir / "filler"
    try:
        _fill(filler)
        assert "No space left on device" in refused(idle_daemon, "start")[1]
        filler.unlink()
        idle_daemon.start()
        _fill(filler)
        code, text = refused(idle_daemon, "app", "create", "a")
        assert (code, "nothing was changed" in text) == (1, True)
        code, text = refused(idle_daemon, "deploy", f"{MODELS}/good.py")
        assert (code, "is the disk full" in text) == (1, True)
        assert document(idle_daemon, "app", "ls") == []
    finally:
        idle_daemon.stop()
        subprocess.run(["umount", "-l", str(idle_daemon.data_dir)], check=False)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def test_a_terminal_gets_marks_and_times(shared_daemon):
    """The steps have a tick, and none of the table is cut."""
    env = {**shared_daemon.env, "TERM": "xterm", "COLUMNS": "40"}
    text = _on_terminal(["deploy", f"{MODELS}/good.py", "--name", "t"], env)
    assert "✓ loaded" in text
    assert " ms" in text
    failed = _on_terminal(["deploy", f"{MODELS}/returns_none.py", "--name", "t"], env)
    assert "✗ loading   t:2 was not switched in; nothing else changed" in failed
    assert str(shared_daemon.pid)
    assert "MODEL:VERSION" in _on_terminal(["ps"], env)
    assert shared_daemon.cli("rm", "t").returncode == 0


def _on_terminal(args: list[str], env: dict[str, str]) -> str:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "servd", *args],
        env=env,
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ):
        os.close(follower)
        content = b""
        try:
            while chunk := os.read(leader, 65536):
                content += chunk
        except OSError:
            # Linux's way to say that the other end of a terminal is closed.
            pass
    os.close(leader)
    return content.decode()


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory):
    """Yield a daemon with the model `good`, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("cli")
    daemon = Daemon(data_dir=folder / "d")
    started = daemon.cli("start", "--test-timeout", "1s")
    assert started.returncode == 0, started.stderr
    deployed = daemon.cli("deploy", f"{MODELS}/good.py", "--default", "-1", cwd=folder)
    assert deployed.returncode == 0, deployed.stderr
    yield daemon
    daemon.stop()

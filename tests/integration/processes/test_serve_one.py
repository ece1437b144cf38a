"""`servd serve-one` as a process of its own: ready, answering, draining, failing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import msgspec
import pytest

from model_runtime.bundle import digest_of
from servd.config import Config
from servd.datatypes import InputType, RouteRule
from servd.errors import LoadFailedError
from servd.imaging.context import applications_json
from servd.logs.copier import LogCopier
from servd.processes.serve_one import OneModel, serve_one
from tests.daemon import free_port
from tests.image_specs import APPLICATION, VERSION, make_bundle, spec_of, version_in

WAIT_S = 30


class _Process:
    """One `servd serve-one` on a free port; its output is kept in files."""

    def __init__(self, folder, bundle, *flags, env=None):
        self.port = free_port()
        self.out, self.err = folder / "out", folder / "err"
        words = ["serve-one", "--bundle", str(bundle), "--bind=127.0.0.1", f"--port={self.port}"]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "servd", *words, *flags], stdout=out, stderr=err, env=env
            )

    def ask(self, path, body=None, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def until_ready(self):
        end_s = time.monotonic() + WAIT_S
        while self.ask("/readyz")[0] != 200:
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < end_s, self.err.read_text()
            time.sleep(0.05)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts a process, which is ended after the test."""
    started = []

    def start(bundle, *flags, env=None):
        folder = tmp_path / f"p{len(started)}"
        folder.mkdir()
        started.append(_Process(folder, bundle, *flags, env=env))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(WAIT_S)


@pytest.fixture
def bundle(tmp_path):
    """Return the folder of a bundle."""
    return make_bundle(tmp_path / "bundle")


def test_a_bundle_answers_at_both_paths_until_it_is_told_to_end(serve, bundle):
    """By its name and at /predict; probes, metrics and the exit code are as they should be."""
    one = serve(bundle, "--app=sum", "--slo=2s")
    one.until_ready()
    for path in ("/predict", "/sum/predict", "/predict/"):
        status, body = one.ask(path, b'{"input":[1,2]}')
        assert (status, json.loads(body)["output"]) == (200, 3.0)
    assert one.ask("/healthz") == (200, b"ok\n")
    assert one.ask("/metrics")[0] == 200
    assert one.end() == 0
    assert "/predict and /sum/predict" in one.err.read_text()


def test_what_servd_build_wrote_says_what_is_served(serve, bundle, tmp_path):
    """Applications and their settings come from the file; flags change them."""
    slow = "import time\ndef f(xs):\n    time.sleep(0.3)\n    return [0 for _ in xs]\n"
    (bundle / "files" / "f.py").write_text(slow)
    file = tmp_path / "applications.json"
    file.write_text(applications_json(spec_of("standalone", bundle, version=version_in(bundle))))
    one = serve(bundle, "--applications", str(file), "--default", "9", "--replicas=2")
    one.until_ready()
    status, body = one.ask(f"/{APPLICATION.name}/predict", b'{"input":[1]}')
    answer = json.loads(body)
    assert (status, answer["output"], answer["default"]) == (200, 9, True)
    assert one.end(signal.SIGINT) == 0
    assert "replica 1 is ready" in one.err.read_text()


def test_further_paths_of_its_applications_are_those_that_it_had_in_the_registry(
    serve, bundle, tmp_path
):
    """A route has its own body and answer, and says itself in the log."""
    routes = (
        RouteRule(method="POST", path="/score", app="iris", takes="X", gives="score"),
        RouteRule(method="POST", path="/all", app="iris", takes="X", gives="sums", is_batch=True),
    )
    file = tmp_path / "applications.json"
    file.write_text(applications_json(spec_of("standalone", bundle, routes=routes)))
    one = serve(bundle, "--applications", str(file))
    one.until_ready()
    assert one.ask("/score", b'{"X":[1,2]}') == (200, b'{"score":3.0}')
    assert one.ask("/all", b'{"X":[[1,2],[3]]}') == (200, b'{"sums":[3.0,3.0]}')
    assert "/predict and /iris/predict and POST /score and POST /all" in one.err.read_text()


ASGI_APP = """
async def app(scope, receive, send):
    body = f"{scope['root_path']} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
WSGI_APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']}".encode()]
"""


@pytest.mark.parametrize(("kind", "source"), [("asgi", ASGI_APP), ("wsgi", WSGI_APP)])
@pytest.mark.parametrize("is_built", [True, False])
def test_a_web_application_answers_at_the_root_and_below_its_name(
    serve, tmp_path, kind, source, is_built
):
    """From what servd build wrote, and from the bundle alone; probes stay servd's."""
    bundle = make_bundle(tmp_path / "web", kind=kind, object="app", input_type="any", example=None)
    (bundle / "files" / "f.py").write_text(source)
    flags = ["--app=iris"]
    if is_built:
        version = msgspec.structs.replace(version_in(bundle), web=kind, input_type=InputType.ANY)
        app = msgspec.structs.replace(APPLICATION, input_type=InputType.ANY)
        spec = spec_of("standalone", bundle, version=version, applications=(app,))
        file = tmp_path / "applications.json"
        file.write_text(applications_json(spec))
        flags = ["--applications", str(file)]
    one = serve(bundle, *flags, "--replicas=2")
    one.until_ready()
    assert one.ask("/score?x=1") == (200, b" /score")
    assert one.ask("/iris/score", b"x") == (200, b"/iris /iris/score")
    assert one.ask("/healthz") == (200, b"ok\n")
    assert one.end() == 0
    assert "/ and /iris/" in one.err.read_text()


def test_an_image_whose_files_are_others_than_it_says_answers_nothing(serve, bundle, tmp_path):
    """The digest of what lies there counts, and not what somebody wrote beside it."""
    file = tmp_path / "applications.json"
    file.write_text(applications_json(spec_of("standalone", bundle, version=VERSION)))
    one = serve(bundle, "--applications", str(file))
    assert one.process.wait(WAIT_S) == 1
    said = one.err.read_text()
    assert f"holds the bundle {digest_of(bundle)}" in said
    assert f"registered with {'0' * 32}" in said


def test_a_deployment_can_say_which_model_it_expects(serve, bundle):
    """The name of an image may have come to stand for another model; then it answers nothing."""
    wanted = serve(bundle, f"--expect-bundle={digest_of(bundle)}")
    wanted.until_ready()
    assert wanted.end() == 0
    other = serve(bundle, env={**os.environ, "SERVD_EXPECT_BUNDLE": "1" * 32})
    assert other.process.wait(WAIT_S) == 1
    assert f"its deployment expects {'1' * 32}: it answers nothing" in other.err.read_text()


def test_an_open_query_is_answered_before_the_end(serve, bundle):
    """SIGTERM closes the door and waits for what came in."""
    source = (
        "import time\n"
        "def f(xs):\n"
        "    print('begun', len(xs[0]), flush=True)\n"
        "    time.sleep(1.5 if len(xs[0]) == 3 else 0)\n"
        "    return [1 for _ in xs]\n"
    )
    (bundle / "files" / "f.py").write_text(source)
    one = serve(bundle, "--slo=20s")
    one.until_ready()
    answers = []
    body = b'{"input":[1,2,3]}'
    asking = threading.Thread(target=lambda: answers.append(one.ask("/predict", body)))
    asking.start()
    end_s = time.monotonic() + WAIT_S
    while b"begun 3" not in one.out.read_bytes():
        assert time.monotonic() < end_s
        time.sleep(0.02)
    assert not answers
    assert one.end() == 0
    asking.join(WAIT_S)
    assert answers[0][0] == 200


def test_a_model_that_does_not_load_ends_it_with_the_traceback(serve, bundle):
    """Exit code 1; the frames of the model are in the output, the message is last."""
    (bundle / "files" / "f.py").write_text("import nowhere_to_be_found\n")
    one = serve(bundle)
    assert one.process.wait(WAIT_S) == 1
    assert "nowhere_to_be_found" in one.err.read_text()
    assert 'f.py", line 1' in one.err.read_text()


def test_a_token_guards_the_queries_and_not_the_probes(serve, bundle):
    """SERVD_TOKEN alone decides; without it everybody who reaches the port may ask."""
    one = serve(bundle, "--bind=0.0.0.0", env={**os.environ, "SERVD_TOKEN": "secret"})
    one.until_ready()
    assert one.ask("/predict", b'{"input":[1]}')[0] == 401
    assert one.ask("/predict", b'{"input":[1]}', token="secret")[0] == 200
    assert one.end() == 0


def test_what_cannot_be_served_is_said_at_once(serve, bundle, tmp_path):
    """A taken port, a folder that is no bundle, a file that names no application."""
    first = serve(bundle)
    first.until_ready()
    empty, file = tmp_path / "empty", tmp_path / "a.json"
    empty.mkdir()
    file.write_text("{}")
    for flags, said, code in (
        ((bundle, f"--port={first.port}"), "is taken", 1),
        ((empty,), "model.json", 1),
        ((bundle, "--applications", str(file)), "--applications", 2),
        ((bundle, "--slo=never"), "duration", 2),
    ):
        one = serve(*flags)
        assert one.process.wait(WAIT_S) == code
        assert said in one.err.read_text()


def _config(folder):
    return Config(
        data_dir=folder / "d", query_port=free_port(), drain_s=5.0, load_timeout_s=float(WAIT_S)
    )


def _one(bundle):
    version = msgspec.structs.replace(version_in(bundle), replicas=1)
    return OneModel(version, (APPLICATION,), bundle)


def test_its_life_ends_with_the_signal(bundle, tmp_path):
    """Ready is told once the model is; the signal drains and the exit code is 0."""
    config = _config(tmp_path)

    async def story():
        living = asyncio.create_task(serve_one(_one(bundle), config, os.environ))
        request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        async with asyncio.timeout(WAIT_S):
            answer = b""
            while b" 200 " not in answer:
                assert not living.done()
                await asyncio.sleep(0.05)
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", config.query_port)
                except OSError:
                    continue
                writer.write(request)
                answer = await reader.read()
                writer.close()
                await writer.wait_closed()
            os.kill(os.getpid(), signal.SIGTERM)
            return await living

    assert asyncio.run(story()) == 0


def test_a_load_that_fails_is_raised_with_its_traceback(bundle, tmp_path):
    """The verb makes the exit code of it."""
    (bundle / "files" / "f.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(LoadFailedError, match="nowhere_to_be_found"):
        asyncio.run(serve_one(_one(bundle), _config(tmp_path), os.environ))


@pytest.mark.parametrize("label", ["", "m:1/0 | "])
def test_a_log_is_copied_once_and_through_a_rotation(tmp_path, label):
    """Each line passes once, with its replica where that is wanted; what was there before not."""
    log, target = tmp_path / "m" / "1.0.log", tmp_path / "target"
    log.parent.mkdir()
    log.write_text("of another run\n")
    with target.open("w+b") as file:
        copier = LogCopier(tmp_path, file, is_labelled=bool(label))
        with log.open("a") as writer:
            writer.write("first\n")
        copier.copy()
        copier.copy()
        with log.open("a") as writer:
            writer.write("second\n")
        log.replace(log.with_name("1.0.log.1"))
        log.write_text("new\n")
        log.with_name("1.1.log").touch()
        for _ in range(3):
            copier.copy()
    lines = [f"{label}{word}\n" for word in ("first", "second", "new")]
    assert target.read_text() == "".join(lines)


def test_a_reader_that_has_gone_ends_the_copying_and_nothing_else(tmp_path):
    """As `servd run | head` does."""
    log = tmp_path / "m" / "1.0.log"
    log.parent.mkdir()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as gone:
        copier = LogCopier(tmp_path, gone)
        log.write_text("first\n")
        copier.copy()
        copier.copy()

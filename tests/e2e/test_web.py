"""Web applications from their files to their answers, as users deploy them: the guides' first."""

import http.client
import importlib
import json
import os
import pickle
import signal
import subprocess
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

import pytest

from servd.client.objects import as_target
from servd.errors import TargetError
from tests.daemon import Daemon

FASTAPI = """
from fastapi import FastAPI
import uvicorn
import pickle

app = FastAPI()

@app.get("/")
def index():
    return {"message": "Hey look it's working"}

@app.get("/predict")
def predict(feature_1: int = 0, feature_2: int = 0, feature_3: int = 0):
    total = feature_1 + feature_2 + feature_3
    return {"output": [int(total > 1)]}

if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=80)
"""

FLASK = """
from flask import Flask, jsonify, make_response, request

app = Flask(__name__)

@app.route('/score', methods=['POST'])
def score():
    features = request.json['X']
    return make_response(jsonify({'score': features}))

if __name__ == '__main__':
    app.run(host='0.0.0.0', port=5000)
"""


def write(folder: Path, **files: str) -> Path:
    """Write files; `_` in a name stands for its dot, `__` for a folder."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def curl(*arguments: str) -> str:
    """Run curl and return what it prints."""
    done = subprocess.run(
        ["curl", "-sS", "-m", "30", *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def deploy(daemon: Daemon, *arguments: str, cwd: Path) -> str:
    """Deploy, insist that it worked, and return what was said."""
    done = daemon.cli("deploy", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_courses_fastapi_file_answers_its_own_curl_lines(daemon, tmp_path):
    """Guide 001: GET /, GET /predict with and without parameters, 422 for a text."""
    write(tmp_path, app_py=FASTAPI)
    said = deploy(daemon, "app.py", cwd=tmp_path)
    assert f"curl {daemon.query_url}/app/" in said
    base = f"{daemon.query_url}/app"
    assert json.loads(curl(f"{base}/")) == {"message": "Hey look it's working"}
    query = "feature_1=1&feature_2=1&feature_3=1"
    assert json.loads(curl(f"{base}/predict?{query}")) == {"output": [1]}
    assert json.loads(curl(f"{base}/predict")) == {"output": [0]}
    status, _, body = curl("-w", "\n%{http_code}", f"{base}/predict?feature_1=abc").rpartition("\n")
    assert body == "422"
    assert json.loads(status)["detail"][0]["loc"] == ["query", "feature_1"]
    # Its own documents, whose links have the prefix.
    assert "/app/openapi.json" in curl(f"{base}/docs")
    assert "/predict" in json.loads(curl(f"{base}/openapi.json"))["paths"]
    # At the root, as the guide has it: it is the only application, or the default one.
    assert json.loads(curl(daemon.query_url)) == {"message": "Hey look it's working"}
    assert curl(f"{daemon.query_url}/healthz") == "ok\n"


def test_the_flask_file_answers_its_own_curl_line(daemon, tmp_path):
    """Guide 002: POST /score gives back X; at the root where it is the default application."""
    write(tmp_path, api_py=FLASK)
    deploy(daemon, "api.py:app", "--name", "test-ml", cwd=tmp_path)
    write(tmp_path, app_py=FASTAPI)
    deploy(daemon, "app.py:app", cwd=tmp_path)
    asked = (
        "--request",
        "POST",
        "--header",
        "Content-Type: application/json",
        "--data",
        '{"X": [1, 2]}',
    )
    assert json.loads(curl(f"{daemon.query_url}/test-ml/score", *asked)) == {"score": [1, 2]}
    assert "404" in curl("-i", f"{daemon.query_url}/score", *asked).splitlines()[0]
    assert daemon.cli("app", "default", "test-ml").returncode == 0
    assert json.loads(curl(f"{daemon.query_url}/score", *asked)) == {"score": [1, 2]}
    assert json.loads(curl(f"{daemon.query_url}/app/predict")) == {"output": [0]}


def test_files_and_modules_come_along(daemon, tmp_path):
    """Templates and static files of Flask, by names that stand in no code; modules beside it."""
    write(
        tmp_path,
        app_py="""
            from flask import Flask, render_template, url_for
            from words import GREETING
            application = Flask(__name__)

            @application.route("/")
            def index():
                return render_template("page.html", word=GREETING)
        """,
        words_py="GREETING = 'hello'",
        templates__page_html="<a href=\"{{ url_for('static', filename='a.css') }}\">{{ word }}</a>",
        static__a_css="a {}",
    )
    deploy(daemon, "app.py", "--name", "site", cwd=tmp_path)
    assert curl(f"{daemon.query_url}/site/") == '<a href="/site/static/a.css">hello</a>'
    assert curl(f"{daemon.query_url}/site/static/a.css") == "a {}"


def test_folders_that_the_code_names_come_along(daemon, tmp_path):
    """Starlette's, which are looked into at the first request only; and what is read at the top."""
    write(
        tmp_path,
        app_py="""
            import pickle
            from fastapi import FastAPI, Request
            from fastapi.staticfiles import StaticFiles
            from fastapi.templating import Jinja2Templates
            app = FastAPI()
            app.mount("/static", StaticFiles(directory="static"), name="static")
            templates = Jinja2Templates(directory="templates")
            with open("model.pickle", "rb") as file:
                model = pickle.load(file)

            @app.get("/page")
            def page(request: Request):
                return templates.TemplateResponse(request, "page.html", {"model": model})
        """,
        templates__page_html="{{ url_for('static', path='a.css') }} {{ model }}",
        static__a_css="a {}",
    )
    (tmp_path / "model.pickle").write_bytes(pickle.dumps([1, 2]))
    deploy(daemon, "app.py", cwd=tmp_path)
    assert curl(f"{daemon.query_url}/app/static/a.css") == "a {}"
    assert curl(f"{daemon.query_url}/app/page") == f"{daemon.query_url}/app/static/a.css [1, 2]"


def test_django_is_found_with_its_settings_urls_and_views(daemon, tmp_path):
    """A project as `startproject` makes it, in short: both of its objects."""
    write(
        tmp_path,
        mysite____init___py="",
        mysite__settings_py="""
            SECRET_KEY = "x"
            ALLOWED_HOSTS = ["*"]
            ROOT_URLCONF = "mysite.urls"
            INSTALLED_APPS = []
            MIDDLEWARE = []
        """,
        mysite__urls_py="""
            from django.urls import path
            from mysite import views
            urlpatterns = [path("where/", views.where)]
        """,
        mysite__views_py="""
            from django.http import JsonResponse
            def where(request):
                return JsonResponse({"path": request.path, "full": request.build_absolute_uri()})
        """,
        mysite__wsgi_py="""
            import os
            from django.core.wsgi import get_wsgi_application
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
            application = get_wsgi_application()
        """,
        mysite__asgi_py="""
            import os
            from django.core.asgi import get_asgi_application
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
            application = get_asgi_application()
        """,
    )
    for kind in ("wsgi", "asgi"):
        deploy(daemon, f"mysite/{kind}.py:application", "--name", kind, cwd=tmp_path)
        told = json.loads(curl(f"{daemon.query_url}/{kind}/where/"))
        assert told == {"path": f"/{kind}/where/", "full": f"{daemon.query_url}/{kind}/where/"}


def test_litestar_is_found(daemon, tmp_path):
    """Another framework of ASGI, of which nothing here knows."""
    write(
        tmp_path,
        app_py="""
            from litestar import Litestar, get
            @get("/")
            async def index() -> dict[str, int]:
                return {"a": 1}
            app = Litestar([index])
        """,
    )
    deploy(daemon, "app.py", cwd=tmp_path)
    assert json.loads(curl(f"{daemon.query_url}/app/")) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            """
            from contextlib import asynccontextmanager
            from fastapi import FastAPI
            @asynccontextmanager
            async def lifespan(app):
                raise RuntimeError("no database at db:5432")
                yield
            app = FastAPI(lifespan=lifespan)
            """,
            ["RuntimeError: no database at db:5432", 'File "app.py", line 6, in lifespan'],
        ),
        (
            """
            async def app(scope, receive, send):
                if scope["type"] == "lifespan":
                    await receive()
                    raise ValueError("bad start")
            """,
            ["ValueError: bad start", 'File "app.py", line 5, in app'],
        ),
        ("import fastapi\nimport no_such_thing\napp = fastapi.FastAPI()", ["no_such_thing"]),
        ("from flask import Flask\napp = Flask(__name__\n", ["SyntaxError"]),
    ],
)
def test_an_application_that_does_not_start_is_told_to_who_deploys_it(daemon, tmp_path, text, said):
    """The traceback of its startup comes back; the version before goes on answering."""
    daemon.expected_errors.append(".")
    write(
        tmp_path,
        app_py="async def app(scope, receive, send):\n    assert scope['type'] == 'http'\n"
        "    await send({'type': 'http.response.start', 'status': 204, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b''})\n",
    )
    deploy(daemon, "app.py", cwd=tmp_path)
    write(tmp_path, app_py=text)
    done = daemon.cli("deploy", "app.py", cwd=tmp_path)
    assert done.returncode == 1
    for each in said:
        assert each in done.stdout + done.stderr
    assert "204" in curl("-i", f"{daemon.query_url}/app/").splitlines()[0]


def test_an_application_whose_startup_hangs_is_given_up(idle_daemon, tmp_path):
    """After the time that a load may take; it says where it hung."""
    idle_daemon.data_dir.mkdir(parents=True)
    (idle_daemon.data_dir / "servd.toml").write_text('load_timeout = "4s"\n')
    idle_daemon.start()
    write(
        tmp_path,
        app_py="""
            import asyncio
            async def app(scope, receive, send):
                await receive()
                await asyncio.sleep(3600)
        """,
    )
    done = idle_daemon.cli("deploy", "app.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "hangs" in done.stderr
    assert "the application starts" in done.stderr


@pytest.mark.parametrize(
    "option",
    [
        ("--input-type", "doubles"),
        ("--slo", "50ms"),
        ("--default", "1"),
        ("--example", "[1]"),
        ("--max-batch", "4"),
    ],
)
def test_what_is_said_of_queries_is_refused_for_a_web_application(daemon, tmp_path, option):
    """With the option's name, and what it is."""
    write(tmp_path, app_py=FASTAPI)
    done = daemon.cli("deploy", "app.py", *option, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert option[0] in done.stderr
    assert "web application" in done.stderr


def test_of_several_applications_one_has_to_be_named(daemon, tmp_path):
    """Unless one has the name that servers look for."""
    write(tmp_path, two_py=FLASK.replace("app", "one") + FLASK.replace("app", "two"))
    done = daemon.cli("deploy", "two.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "2 web applications: one, two" in done.stderr


class Load:
    """Clients that ask without a pause, until they are stopped; what they get is counted."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def count(self) -> int:
        """How many were answered."""
        return sum(self.answers.values())

    def await_more(self, count: int) -> None:
        """Wait until so many more are answered."""
        until = self.count + count
        end_s = time.monotonic() + 120
        while self.count < until and not self.failures:
            assert time.monotonic() < end_s
            time.sleep(0.01)

    def _run(self) -> None:
        host = self._url.removeprefix("http://").partition("/")[0]
        connection = http.client.HTTPConnection(host, timeout=30)
        while not self._stop.is_set():
            try:
                connection.request("POST", f"/{self._url.split('/', 3)[3]}", b"body")
                answer = connection.getresponse()
                text = answer.read().decode()
                if answer.status == 200:
                    self.answers[text.split()[0]] = self.answers.get(text.split()[0], 0) + 1
                else:
                    self.failures.append(text)
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("frontends", [1, 2])
def test_no_request_is_lost_by_a_deployment_a_scale_and_a_rollback(
    idle_daemon, tmp_path, frontends
):
    """8,000 POSTs over versions 1 and 2 and back, with one front end and with two."""
    done = idle_daemon.cli("start", "--frontends", str(frontends))
    assert done.returncode == 0, done.stderr
    source = (Path(__file__).parents[1] / "models/web_app.py").read_text()
    (tmp_path / "web_app.py").write_text(source)
    deploy(idle_daemon, "web_app.py", cwd=tmp_path)
    with Load(f"{idle_daemon.query_url}/app/x") as load:
        load.await_more(1500)
        (tmp_path / "web_app.py").write_text(source.replace('VERSION = "1"', 'VERSION = "2"'))
        deploy(idle_daemon, "web_app.py", cwd=tmp_path)
        load.await_more(1500)
        assert idle_daemon.cli("scale", "app", "2").returncode == 0
        load.await_more(1500)
        assert idle_daemon.cli("scale", "app", "1").returncode == 0
        load.await_more(1500)
        assert idle_daemon.cli("rollback", "app").returncode == 0
        load.await_more(2000)
    assert load.failures == []
    assert load.count >= 8000
    assert set(load.answers) == {"1", "2"}


def test_a_replica_that_dies_is_restarted_and_others_answer_meanwhile(daemon, tmp_path):
    """GETs are asked again; the request that kills a replica is 502, and nobody else's fails."""
    source = (Path(__file__).parents[1] / "models/web_app.py").read_text()
    (tmp_path / "web_app.py").write_text(source)
    deploy(daemon, "web_app.py", "--replicas", "2", cwd=tmp_path)
    status = curl(
        "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", f"{daemon.query_url}/app/die"
    )
    assert status == "502"
    end_s = time.monotonic() + 60
    while daemon.cli("ps").stdout.count("ready") < 2:
        assert time.monotonic() < end_s
    pid = int(curl(f"{daemon.query_url}/app/").split()[1])
    os.kill(pid, signal.SIGKILL)
    for _ in range(20):
        assert curl(f"{daemon.query_url}/app/").startswith("1 ")
    end_s = time.monotonic() + 60
    while daemon.cli("ps").stdout.count("ready") < 2:
        assert time.monotonic() < end_s


def test_a_wsgi_application_is_told_that_its_client_has_gone(daemon, tmp_path):
    """What it yields is closed; a generator that never ends keeps no thread for nobody."""
    write(
        tmp_path,
        app_py="""
            import time
            def app(environ, start_response):
                start_response("200 OK", [("Content-Type", "text/plain")])
                if environ["PATH_INFO"] == "/closed":
                    return [str(closed).encode()]
                return endless()
            closed = 0
            def endless():
                global closed
                try:
                    while True:
                        yield b"tick\\n"
                        time.sleep(0.02)
                finally:
                    closed += 1
        """,
    )
    deploy(daemon, "app.py", cwd=tmp_path)
    for _ in range(40):  # more than it has threads
        with urllib.request.urlopen(f"{daemon.query_url}/app/", timeout=30) as answer:
            assert answer.read(5) == b"tick\n"
    end_s = time.monotonic() + 30
    while curl(f"{daemon.query_url}/app/closed") != "40":
        assert time.monotonic() < end_s


def test_a_wsgi_application_gets_bodies_of_either_framing(daemon, tmp_path):
    """With a length, and in chunks; what it raises is 500 and in its log."""
    write(
        tmp_path,
        app_py="""
            from flask import Flask, request
            app = Flask(__name__)
            @app.post("/size")
            def size():
                return str(len(request.get_data()))
            @app.get("/bad")
            def bad():
                raise KeyError("what it was")
        """,
    )
    deploy(daemon, "app.py", cwd=tmp_path)
    body = tmp_path / "body"
    body.write_bytes(b"x" * 3_000_000)
    url = f"{daemon.query_url}/app/size"
    assert curl("-H", "Expect:", "--data-binary", f"@{body}", url) == "3000000"
    assert curl("-H", "Transfer-Encoding: chunked", "--data-binary", f"@{body}", url) == "3000000"
    with pytest.raises(urllib.error.HTTPError, match="500"):
        urllib.request.urlopen(f"{daemon.query_url}/app/bad", timeout=30)
    assert "KeyError: 'what it was'" in daemon.cli("logs", "app").stdout


def test_what_a_project_asks_for_and_is_not_here_is_named(daemon, tmp_path):
    """Before the deployment goes on, and where it fails for that: in servd's own environment."""
    write(tmp_path, app_py=FLASK, requirements_txt="flask\nno-such-thing==1.0\n")
    command = ("deploy", "app.py", "--env", "shared")
    done = daemon.cli(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "requirements.txt asks for no-such-thing==1.0, which is not" in done.stderr
    write(tmp_path, app_py="import no_such_thing\n" + FLASK)
    done = daemon.cli(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "pip install -r requirements.txt" in done.stderr


def test_an_application_that_keeps_its_loop_from_turning_is_restarted(
    idle_daemon, tmp_path, monkeypatch
):
    """After the time that a call of a model may take; its log says what it was doing."""
    monkeypatch.setattr(type(idle_daemon), "env", _patient(type(idle_daemon).env))
    idle_daemon.start()
    write(
        tmp_path,
        app_py="""
            import time
            async def app(scope, receive, send):
                assert scope["type"] == "http"
                if scope["path"].endswith("/stuck"):
                    time.sleep(3600)
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})
        """,
    )
    deploy(idle_daemon, "app.py", cwd=tmp_path)
    with pytest.raises(urllib.error.HTTPError, match=r"50[24]"):
        urllib.request.urlopen(f"{idle_daemon.query_url}/app/stuck", timeout=30)
    end_s = time.monotonic() + 60
    while "204" not in curl("-i", f"{idle_daemon.query_url}/app/").splitlines()[0]:
        assert time.monotonic() < end_s
    assert "in app" in idle_daemon.cli("logs", "app").stdout


def _patient(env):
    """Return a daemon's environment in which a call may take two seconds."""
    return property(lambda daemon: env.__get__(daemon) | {"SERVD_PREDICT_TIMEOUT": "2s"})


def test_an_application_of_a_running_program_is_deployed_from_its_file(tmp_path, monkeypatch):
    """`client.deploy(app)` of a module that was imported; one of no file is refused."""
    write(tmp_path, served_app_py="from flask import Flask\napp = Flask(__name__)\n")
    (tmp_path / "served.app.py").rename(tmp_path / "served_app.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("served_app")
    with as_target(module.app) as target:
        assert (target.path, target.object) == (tmp_path / "served_app.py", "app")
    with (
        pytest.raises(TargetError, match="from its file") as caught,
        as_target(type(module.app)("x")),
    ):
        pass
    assert "app.py:app" in caught.value.hint

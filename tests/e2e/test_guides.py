"""What the documents ask for that servd's users come from, row by row.

Five documents: the kidney tutorial for Clipper on Docker and Kubernetes (000), a course on ML
engineering with FastAPI (001), models on Kubernetes with Flask, Helm and Seldon Core (002),
Clipper's tutorial (003), a service of BentoML's on Clipper (004). Each of their steps that needs no
cluster is shown here, or by the test that `ROWS` names.
"""

import ast
import json
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.daemon import Daemon
from tests.e2e.console import run_page
from tests.e2e.steps import deploy, fresh_daemon, write_model

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HERE = "tests/e2e/test_guides.py"
SCRIPTS = "tests/e2e/test_clipper_scripts.py"
WEB = "tests/e2e/test_web.py"
BENTO = "tests/e2e/test_bento.py"
SELDON = "tests/integration/test_seldon.py"
EXAMPLE = "tests/e2e/test_examples.py::test_example_works_as_its_readme_says"
IMAGES = "tests/docker/test_guides.py::test_the_guides_services_as_images"
DOCKER_PAGE = "tests/docker/test_docker_page.py::test_the_page_works_as_printed"
CLUSTER_PAGE = "tests/e2e/test_kubernetes_page.py::test_the_page_works_as_it_says"

ROWS = {
    "000 one script, three managers": f"{SCRIPTS}::test_one_script_for_all_managers",
    "000 a function that closes over a fitted model": EXAMPLE,
    "000 POST /kddtutorial/predict": f"{HERE}::test_000_rows_mix_whole_numbers_and_decimals",
    "000 the pull secret and the Service query-frontend": CLUSTER_PAGE,
    "001 the pickle, with nothing else": EXAMPLE,
    "001 GET / and GET /predict of the FastAPI file": (
        f"{WEB}::test_the_courses_fastapi_file_answers_its_own_curl_lines"
    ),
    "001 GET /predict of a plain model": f"{HERE}::test_001_a_plain_model_answers_get_predict",
    "001 docker build, run and push": DOCKER_PAGE,
    "001 one port": IMAGES,
    "001 the files for kubectl apply": f"{HERE}::test_001_deployment_autoscaler_and_service",
    "001 the commands to look with": f"{HERE}::test_001_what_to_type_next_is_said",
    "002 POST /score of the Flask file": f"{WEB}::test_the_flask_file_answers_its_own_curl_line",
    "002 POST /score of a function": f"{HERE}::test_002_a_function_answers_post_score",
    "002 docker build, run, ps, stop and push": DOCKER_PAGE,
    "002 the Flask file and the Seldon class in one container each": IMAGES,
    "002 one file for apply and delete": f"{HERE}::test_002_one_file_of_three_objects",
    "002 the Helm chart": f"{HERE}::test_002_a_chart_has_the_documents_files_and_values",
    "002 the chart's values, rendered": (
        "tests/unit/k8s_adapter/test_helm.py::test_the_values_are_those_of_the_tutorial"
    ),
    "002 a templated Namespace": (
        "tests/unit/k8s_adapter/test_helm.py::test_the_namespace_does_not_fight_create_namespace"
    ),
    "002 the Seldon class and its curl line": f"{HERE}::test_002_seldons_own_curl_line",
    "002 Seldon's gateway": f"{HERE}::test_002_seldons_gateway",
    "002 Seldon's own client": f"{SELDON}::test_seldons_own_client_is_understood_and_understands",
    "002 a SeldonDeployment": (
        "tests/unit/export/test_seldon.py::test_an_application_is_one_predictor_of_one_model"
    ),
    "002 a Pipfile": f"{WEB}::test_what_a_project_asks_for_and_is_not_here_is_named",
    "003 the tutorial, typed in": f"{SCRIPTS}::test_the_tutorial_typed_into_an_interpreter",
    "003 the tutorial, with no line changed": f"{SCRIPTS}::test_the_tutorial_as_it_is",
    "003 the tutorial, on the command line": EXAMPLE,
    "003 the words for input types": f"{HERE}::test_003_each_word_for_an_input_type_is_known",
    "003 a link of two types": f"{HERE}::test_003_a_link_of_two_types_says_both",
    "003 a text that is a number": (
        "tests/e2e/test_examples.py::test_answer_is_a_number_though_the_function_returns_text"
    ),
    "003 batches and named versions": f"{HERE}::test_003_batches_and_versions_in_the_body",
    "003 defaults and why": f"{HERE}::test_003_a_default_says_why",
    "003 errors, feedback and metrics": f"{HERE}::test_003_errors_feedback_and_metrics",
    "003 what was registered survives": f"{HERE}::test_003_what_was_registered_is_there_again",
    "004 the service, typed in": f"{BENTO}::test_the_guide_typed_into_an_interpreter",
    "004 each API of a saved bundle": (
        f"{BENTO}::test_each_api_of_a_bundle_that_bentoml_has_written_is_a_model"
    ),
    "004 deploy_bentoml, and what it refuses": (
        "tests/integration/bento/test_services.py::test_a_cluster_is_deployed_to_by_clippers_rules"
    ),
    "004 the path that save gives": (
        "tests/integration/bento/test_services.py::test_versions_are_new_given_or_numbered"
    ),
    "004 an application of floats whose default is a word": (
        f"{HERE}::test_004_a_default_that_is_not_json_is_a_text"
    ),
}
"""Each row of a document, and the test that shows it."""

SUM = "def feature_sum(xs):\n    return [str(sum(x)) for x in xs]\n"
KIDNEY_ROW = [48, 70, 1.005, 4, 0, 0, 1, 1, 0, 117, 56, 3.8, 111, 2.5]


def test_every_row_names_a_test_that_is_there() -> None:
    """A test that is renamed or removed leaves no row without one."""
    known: dict[str, set[str]] = {}
    for row, test in ROWS.items():
        path, _, name = test.partition("::")
        if path not in known:
            tree = ast.parse((ROOT / path).read_text())
            known[path] = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        assert name in known[path], f"{row}: there is no {test}"
    own = {name for name in known[HERE] if name.startswith("test_0")}
    assert own == {test.partition("::")[2] for test in ROWS.values() if HERE in test}


@pytest.mark.slow
def test_the_page_of_guides_works_as_it_says(idle_daemon: Daemon) -> None:
    """All of docs/guides.md, from Clipper's script to the pickle, one after the other."""
    copy = idle_daemon.data_dir.parent / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("*.pickle", "__pycache__"))
    assert run_page(ROOT / "docs" / "guides.md", idle_daemon, copy) == 9


@pytest.fixture(scope="module")
def daemon():
    """Yield a running daemon, in which each test has names of its own."""
    with fresh_daemon() as running:
        running.start()
        yield running


@pytest.fixture(scope="module")
def sums(daemon) -> str:
    """Return the path of the tutorial's function."""
    return write_model(daemon, "sums.py", SUM)


def servd(daemon: Daemon, *words: str, cwd: Path | None = None) -> str:
    """Run a command, insist that it worked, and return what it printed."""
    done = daemon.cli(*words, cwd=cwd)
    assert done.returncode == 0, f"servd {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def curl(daemon: Daemon, path: str, *words: str) -> str:
    """Run curl and return what it prints."""
    return subprocess.run(
        ["curl", "-sS", "-m", "30", "-g", daemon.query_url + path, *words],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_000_rows_mix_whole_numbers_and_decimals(daemon, sums):
    """A doubles application takes both; null and text it refuses."""
    deploy(daemon, sums, "--name", "kddtutorial", "--input-type", "doubles")
    asked = ("-H", "Content-type: application/json", "-d", json.dumps({"input": KIDNEY_ROW}))
    answer = json.loads(curl(daemon, "/kddtutorial/predict", *asked))
    assert answer.keys() == {"query_id", "output", "default"}
    assert (answer["output"], answer["default"]) == (pytest.approx(sum(KIDNEY_ROW)), False)
    for wrong in (None, "48"):
        status, refused = daemon.query("/kddtutorial/predict", {"input": [wrong, 1.5]})
        assert (status, refused["error"]) == (400, "Json error")


@pytest.fixture(scope="module")
def course(daemon) -> Daemon:
    """Return the daemon, with the course's pickle as the model `ml-app`."""
    model = pytest.importorskip("sklearn.linear_model").LogisticRegression()
    model.fit([[0, 0, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1]], [0, 1, 1, 0])
    path = daemon.data_dir.parent / "model.pickle"
    path.write_bytes(pickle.dumps(model))
    deploy(daemon, str(path), "--name", "ml-app", "--columns", "feature_1,feature_2,feature_3")
    return daemon


def test_001_a_plain_model_answers_get_predict(course):
    """With parameters by name, in a list of one output; what is no number is a 422 by field."""
    servd(course, "route", "add", "GET /course/predict", "ml-app", "--out", "output", "--batch")
    query = "feature_1=1&feature_2=1&feature_3=1"
    assert json.loads(curl(course, f"/course/predict?{query}")) == {"output": [1]}
    assert json.loads(curl(course, f"/ml-app/predict?{query}"))["output"] == 1
    wrong = curl(course, "/course/predict?feature_1=abc&feature_2=1&feature_3=1")
    assert json.loads(wrong)["detail"][0]["loc"] == ["query", "feature_1"]


def exported(daemon: Daemon, folder: Path, *words: str) -> list[dict]:
    """Export the course's model and return the objects of all files."""
    image = ("--image", "gcr.io/project/ml-serving:0.0.1")
    servd(daemon, "export-k8s", "ml-app", "--standalone", *image, *words, cwd=folder)
    texts = [path.read_text() for path in sorted(folder.rglob("*.yaml"))]
    return [body for text in texts for body in yaml.safe_load_all(text) if body]


def test_001_deployment_autoscaler_and_service(course, tmp_path):
    """The document's numbers and names, in YAML that is valid; a pod waits for its model."""
    found = {body["kind"]: body for body in exported(course, tmp_path, "--check")}
    deployment = found["Deployment"]
    assert deployment["metadata"]["name"] == "ml-app"
    assert deployment["spec"]["selector"]["matchLabels"]["app"] == "ml-app"
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "gcr.io/project/ml-serving:0.0.1"
    assert container["imagePullPolicy"] == "Always"
    assert container["ports"][0]["containerPort"] == 5000
    assert container["resources"]["requests"]["cpu"] == "1"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    scaler = found["HorizontalPodAutoscaler"]
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 5)
    (metric,) = scaler["spec"]["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 40}
    assert scaler["spec"]["scaleTargetRef"]["name"] == "ml-app"
    service = found["Service"]["spec"]
    assert service["type"] == "LoadBalancer"
    (port,) = service["ports"]
    assert (port["port"], port["protocol"]) == (5000, "TCP")


def test_001_what_to_type_next_is_said(course, tmp_path):
    """The document's own commands are printed when the files are written."""
    words = ("export-k8s", "ml-app", "--standalone", "--image", "r/ml:1")
    said = servd(course, *words, cwd=tmp_path)
    assert "kubectl apply -f k8s" in said
    assert "kubectl get pods" in said


def test_002_a_function_answers_post_score(daemon):
    """A route takes X out of the body and puts the output under score."""
    path = write_model(daemon, "identity.py", "def score(xs):\n    return xs\n")
    deploy(daemon, path, "--name", "test-ml-score-api", "--example", "[1,2]")
    servd(daemon, "route", "add", "POST /score", "test-ml-score-api", "--in", "X", "--out", "score")
    asked = ("--request", "POST", "--header", "Content-Type: application/json")
    said = curl(daemon, "/score", *asked, "--data", '{"X": [1, 2]}')
    assert json.loads(said) == {"score": [1, 2]}


def test_002_one_file_of_three_objects(course, tmp_path):
    """Namespace, Deployment and Service, parted by ---, all in the namespace."""
    words = ("--single-file", "score.yaml", "--namespace", "test-ml-app")
    bodies = exported(course, tmp_path, *words)
    assert [path.name for path in tmp_path.glob("*.yaml")] == ["score.yaml"]
    kinds = [body["kind"] for body in bodies]
    assert kinds[0] == "Namespace"
    assert {"Deployment", "Service"} <= set(kinds)
    spaces = {body["metadata"]["namespace"] for body in bodies if body["kind"] != "Namespace"}
    assert spaces == {"test-ml-app"}
    assert (tmp_path / "score.yaml").read_text().count("\n---\n") >= len(bodies) - 1


def test_002_a_chart_has_the_documents_files_and_values(course, tmp_path):
    """A chart of Helm 3 with the templates and the names of values that the document has."""
    words = ("--helm", "chart", "--namespace", "test-ml-app", "--image", "user/score")
    servd(course, "export-k8s", "ml-app", "--standalone", *words, cwd=tmp_path)
    chart = tmp_path / "chart"
    names = ("namespace.yaml", "deployment.yaml", "service.yaml", "hpa.yaml", "NOTES.txt")
    assert all((chart / "templates" / name).is_file() for name in names)
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["apiVersion"] == "v2"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert values["app"].keys() == {"name", "env", "namespace", "image"}
    assert (values["containerPort"], values["targetPort"]) == (5000, 5000)


@pytest.fixture(scope="module")
def seldon(daemon) -> Daemon:
    """Return the daemon, whose default application is the document's class."""
    deploy(daemon, str(EXAMPLES / "seldon_score" / "MLScore.py:MLScore"))
    servd(daemon, "app", "default", "MLScore")
    return daemon


MESSAGE = '{"data":{"names":["a","b"],"tensor":{"shape":[2,2],"values":[0,0,1,1]}}}'


def test_002_seldons_own_curl_line(seldon):
    """The form field json, at /predict: the wrapper's answer, numbers in the form that they had."""
    answer = json.loads(curl(seldon, "/predict", "--data-urlencode", f"json={MESSAGE}"))
    tensor = {"shape": [2, 2], "values": [0, 0, 1, 1]}
    assert answer == {"data": {"names": ["t:0", "t:1"], "tensor": tensor}, "meta": {}}


def test_002_seldons_gateway(seldon):
    """Behind the prefix the deployment is the application, and the answer has all of its meta."""
    path = "/seldon/test-ml-seldon-app/MLScore/api/v0.1/predictions"
    asked = ("--request", "POST", "--header", "Content-Type: application/json", "--data", MESSAGE)
    answer = json.loads(curl(seldon, path, *asked))
    assert answer["data"]["tensor"]["values"] == [0.0, 0.0, 1.0, 1.0]
    assert answer["meta"].keys() == {"puid", "tags", "routing", "requestPath", "metrics"}
    assert answer["meta"]["puid"]


WORDS = {
    "bytes": ("bytes", "byte", "b"),
    "integers": ("integers", "ints", "int", "i"),
    "floats": ("floats", "float", "f"),
    "doubles": ("doubles", "double", "d"),
    "strings": ("strings", "string", "str", "strs", "s"),
}


def test_003_each_word_for_an_input_type_is_known(daemon):
    """And means the type that Clipper means by it."""
    with daemon_client(daemon) as client:
        for meant, words in WORDS.items():
            for word in words:
                client.create_app(f"typed-{word}", input_type=word)
                assert client.app(f"typed-{word}").input_type == meant
                client.delete_app(f"typed-{word}")


def daemon_client(daemon: Daemon):
    """Return a client of a daemon."""
    import servd as package

    return package.Client(data_dir=daemon.data_dir)


def test_003_a_link_of_two_types_says_both(daemon, sums):
    """The application's, and the model's."""
    deploy(daemon, sums, "--name", "of-doubles", "--no-app", "--input-type", "doubles")
    servd(daemon, "app", "create", "of-strings", "--input-type", "strings")
    done = daemon.cli("app", "link", "of-strings", "of-doubles")
    assert done.returncode == 1
    assert "strings" in done.stderr
    assert "doubles" in done.stderr


def test_003_batches_and_versions_in_the_body(daemon, sums):
    """A list of answers; a batch of one is no list; a version by its name."""
    deploy(daemon, sums, "--name", "batched", "--version", "1", "--input-type", "doubles")
    _, many = daemon.query("/batched/predict", {"input_batch": [[1.0], [2.0, 2.0]]})
    assert [each["output"] for each in many["batch_predictions"]] == [1.0, 4.0]
    _, one = daemon.query("/batched/predict", {"input_batch": [[1.0]]})
    assert one["output"] == 1.0
    _, named = daemon.query("/batched/predict", {"input": [3.0], "version": "1"})
    assert named["output"] == 3.0


def test_003_a_default_says_why(daemon):
    """Where no model is linked, and where the model was late."""
    words = ("--input-type", "doubles", "--default", "-1.0", "--slo", "100ms")
    servd(daemon, "app", "create", "unlinked", *words)
    _, answer = daemon.query("/unlinked/predict", {"input": [1.1]})
    assert (answer["output"], answer["default"]) == (-1.0, True)
    assert answer["default_explanation"] == "No connected models found for query"
    text = "import time\ndef slow(xs):\n    time.sleep(0.5)\n    return [0 for _ in xs]\n"
    path = write_model(daemon, "slow.py", text)
    deploy(daemon, path, "--default", "-1.0", "--slo", "100ms", "--input-type", "doubles")
    _, late = daemon.query("/slow/predict", {"input": [1.5]})
    assert late["default_explanation"] == (
        "Failed to retrieve a prediction response within the specified latency SLO"
    )


def test_003_errors_feedback_and_metrics(daemon, sums):
    """A body that is no JSON, one without an input, feedback, and both forms of the metrics."""
    deploy(daemon, sums, "--name", "told", "--input-type", "doubles")
    for body, said in (("{", "Json error"), ('{"inputs": [1]}', "Json error")):
        status, answer = daemon.query("/told/predict", body)
        assert (status, answer["error"]) == (400, said)
    feedback = json.dumps({"uid": 0, "input": [1.1], "label": 1.0})
    assert curl(daemon, "/told/update", "-d", feedback) == "Feedback received? 1"
    assert json.loads(curl(daemon, "/metrics"))
    prometheus = curl(daemon, "/metrics", "-H", "Accept: text/plain; version=0.0.4")
    assert "# TYPE" in prometheus


def test_003_what_was_registered_is_there_again(idle_daemon, tmp_path):
    """After stop and start, the application answers without being deployed again."""
    path = tmp_path / "sums.py"
    path.write_text(SUM)
    idle_daemon.start()
    deploy(idle_daemon, str(path), "--name", "hello-world", "--input-type", "doubles")
    servd(idle_daemon, "stop")
    idle_daemon.start()
    status, answer = idle_daemon.query("/hello-world/predict", {"input": [1.1, 2.2, 3.3]})
    assert (status, answer["output"]) == (200, 6.6)


def test_004_a_default_that_is_not_json_is_a_text(daemon):
    """It comes as it was registered."""
    words = ("--input-type", "floats", "--default", "default_pred", "--slo", "100ms")
    servd(daemon, "app", "create", "bentoml-test", *words)
    _, answer = daemon.query("/bentoml-test/predict", {"input": [6.5, 3.0, 5.8, 2.2]})
    assert (answer["output"], answer["default"]) == ("default_pred", True)

"""`servd export-k8s` and `servd diff-k8s` as a user runs them, against a daemon up and down."""

import base64
import json
import shutil
import signal
import subprocess
from pathlib import Path
from unittest import mock

import kubernetes_validate
import psutil
import pytest
import yaml

from tests.daemon import Daemon
from tests.e2e.steps import admin, deploy, fresh_daemon, until, write_model
from tests.processes import has_ended

REGISTRY = ("--image-registry", "registry.example:5000/team")
SUM = "def feature_sum(xs):\n    return [str(sum(x)) for x in xs]\n"
KEYS = "01-servd-tls-secret.yaml"


@pytest.fixture(scope="module")
def deployed():
    """Yield a running daemon with two applications, and three versions of two models."""
    with fresh_daemon() as daemon:
        daemon.start()
        path = write_model(daemon, "func.py", SUM)
        deploy(daemon, path, "--default", "-1.0", "--slo", "50ms")
        deploy(daemon, path, "--name", "other", "--replicas", "2")
        deploy(daemon, path, "--name", "other", "--replicas", "2", "--max-batch", "8")
        yield daemon


@pytest.fixture
def folder(tmp_path):
    """Return the working directory of a test."""
    return tmp_path


def export(daemon: Daemon, folder: Path, *args: str) -> str:
    """Run `servd export-k8s`, insist that it worked, and return what it printed."""
    done = daemon.cli("export-k8s", *args, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(daemon: Daemon, folder: Path, *args: str) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and stderr, which is no traceback."""
    done = daemon.cli(*args, cwd=folder)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def content(folder: Path) -> dict[str, str]:
    """Return the texts of a folder's files by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def objects(text: str) -> list[dict]:
    """Return the objects of a file."""
    return [body for body in yaml.safe_load_all(text) if body is not None]


def test_an_export_is_checked_valid_and_the_same_twice(deployed, folder):
    """The folder passes Kubernetes' schemas and the checks, and again gives the same bytes."""
    printed = export(deployed, folder, *REGISTRY, "--check")
    first = content(folder / "k8s")
    found = [
        body for name, text in first.items() if name.endswith(".yaml") for body in objects(text)
    ]
    for body in found:
        kubernetes_validate.validate(body, "1.29", strict=True)
    names = {(body["kind"], body["metadata"]["name"]) for body in found}
    assert {("Service", "query-frontend"), ("Deployment", "other-2")} <= names
    assert ("Namespace", "servd") in names
    images = {"servd-frontend", "feature_sum:1", "other:1", "other:2"}
    assert all(f"registry.example:5000/team/{name}" in printed for name in images)
    for command in ("kubectl apply -f k8s", "kubectl get pods", "port-forward"):
        assert command in printed
    assert "kubectl describe service query-frontend" in printed
    assert "checked" in printed
    export(deployed, folder, *REGISTRY, "--check")
    assert content(folder / "k8s") == first
    shutil.rmtree(folder / "k8s")
    export(deployed, folder, *REGISTRY)
    assert content(folder / "k8s") == first


def test_the_registry_of_an_export_is_what_the_daemon_has(deployed, folder):
    """Default output, latency objective and batch size go to the cluster as they are here."""
    export(deployed, folder)
    (body,) = objects((folder / "k8s" / "01-query-registry-configmap.yaml").read_text())
    published = json.loads(body["data"]["registry.json"])
    _, answered = admin(deployed, "GET", "/api/v1/registry")
    assert {app["name"]: app for app in published["registry"]["applications"]} == {
        app["name"]: app for app in answered["applications"]
    }
    assert published["registry"]["current"] == {"feature_sum": "1", "other": "2"}
    assert set(published["endpoints"]) == {"feature_sum:1", "other:1", "other:2"}
    assert answered["applications"][0]["slo_us"] == 50_000


@pytest.mark.parametrize(
    "where",
    [("--single-file", "all.yaml"), ("--kustomize", "k"), ("--helm", "chart")],
    ids=["single file", "kustomize", "helm"],
)
def test_the_other_forms(deployed, folder, where):
    """One file, a kustomization and a chart are written and checked, and known again."""
    document = json.loads(export(deployed, folder, *where, "--check", "--json"))
    assert document["checked"] is True
    assert document["path"] == where[1]
    assert deployed.cli("diff-k8s", *where, cwd=folder).returncode == 0
    if where[0] == "--single-file":
        assert len(objects((folder / "all.yaml").read_text())) == document["objects"]
    if where[0] == "--kustomize":
        if shutil.which("kubectl") is None:
            pytest.skip("kubectl is not installed")
        command = ["kubectl", "kustomize", str(folder / "k")]
        built = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert len(objects(built.stdout)) == document["objects"]


def test_the_standalone_shape(deployed, folder):
    """One file with Namespace, Deployment, Service and autoscaler, as the tutorials have it."""
    args = ("feature_sum", "--standalone", "--image", "gcr.io/p/ml-serving:0.0.1")
    where = ("--single-file", "app.yaml", "--namespace", "test-ml-app", "--check")
    printed = export(deployed, folder, *args, *where)
    found = {body["kind"]: body for body in objects((folder / "app.yaml").read_text())}
    assert list(found) == ["Namespace", "Deployment", "Service", "HorizontalPodAutoscaler"]
    assert {body["metadata"].get("namespace", "test-ml-app") for body in found.values()} == {
        "test-ml-app"
    }
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "gcr.io/p/ml-serving:0.0.1"
    assert "kubectl port-forward service/feature-sum 5000:5000" in printed
    # What the model has answered at its deployment is asked.
    assert """curl -d '{"input":[1.0]}' http://127.0.0.1:5000/feature_sum/predict""" in printed


def test_a_daemon_that_is_down_is_not_needed(folder):
    """Stopped or killed, its data directory gives the same export, unchanged."""
    with fresh_daemon() as daemon:
        daemon.start()
        deploy(daemon, write_model(daemon, "func.py", SUM))
        export(daemon, folder, *REGISTRY)
        first = content(folder / "k8s")
        pid = daemon.pid
        assert pid is not None
        process = psutil.Process(pid)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        until(lambda: has_ended(pid), "the daemon is gone")
        kept = {path.name: path.read_bytes() for path in daemon.data_dir.glob("servd.db*")}
        export(daemon, folder, *REGISTRY)
        assert content(folder / "k8s") == first
        assert daemon.cli("diff-k8s", cwd=folder).returncode == 0
        assert {p.name: p.read_bytes() for p in daemon.data_dir.glob("servd.db*")} == kept
        daemon.start()
        assert daemon.cli("stop").returncode == 0
        export(daemon, folder, *REGISTRY)
        assert content(folder / "k8s") == first
        assert daemon.cli("status").returncode == 3


def test_what_changed_is_shown(folder):
    """Objects and lines that differ are shown with exit code 1, without them it is 0."""
    with fresh_daemon() as daemon:
        daemon.start()
        deploy(daemon, write_model(daemon, "func.py", SUM))
        options = ("--namespace", "ml", "--max", "7", *REGISTRY)
        export(daemon, folder, *options)
        same = daemon.cli("diff-k8s", cwd=folder)
        assert (same.returncode, same.stdout) == (0, "no changes since the export\n")
        assert daemon.cli("scale", "feature_sum", "2").returncode == 0
        deploy(daemon, write_model(daemon, "func.py", SUM), "--name", "new")
        changed = daemon.cli("diff-k8s", cwd=folder)
        assert changed.returncode == 1
        assert "added    Deployment new-1 in ml" in changed.stdout
        assert "changed  HorizontalPodAutoscaler feature-sum-1 in ml" in changed.stdout
        assert "-  minReplicas: 1\n+  minReplicas: 2\n" in changed.stdout
        assert "maxReplicas: 5" not in changed.stdout
        done = daemon.cli("diff-k8s", "--json", cwd=folder)
        document = json.loads(done.stdout)
        assert (done.returncode, document["changed"], document["edited"]) == (1, True, [])
        assert daemon.cli("rm", "new").returncode == 0
        export(daemon, folder, *options)
        assert not (folder / "k8s" / "new-1-deployment.yaml").exists()
        assert daemon.cli("diff-k8s", "-q", cwd=folder).returncode == 0


def test_a_stale_file_is_removed_and_named(deployed, folder):
    """An export of fewer applications leaves none of the others' files."""
    export(deployed, folder)
    printed = export(deployed, folder, "other")
    assert "removed   k8s/feature-sum-1-deployment.yaml" in printed
    assert not list((folder / "k8s").glob("feature-sum*"))


def test_foreign_and_edited_files_are_refused(deployed, folder):
    """What is not the export's, and what was changed by hand, is overwritten by --force only."""
    (folder / "k8s").mkdir()
    (folder / "k8s" / "mine.txt").touch()
    code, said = refused(deployed, folder, "export-k8s")
    assert code == 1
    assert "mine.txt" in said
    assert "--force" in said
    export(deployed, folder, "--force")
    assert (folder / "k8s" / "mine.txt").exists()
    (folder / "k8s" / "mine.txt").unlink()
    service = folder / "k8s" / "query-frontend-service.yaml"
    service.write_text(service.read_text().replace("ClusterIP", "NodePort"))
    code, said = refused(deployed, folder, "export-k8s")
    assert "query-frontend-service.yaml" in said
    assert "servd diff-k8s" in said
    shown = deployed.cli("diff-k8s", cwd=folder)
    assert "-  type: NodePort" in shown.stdout
    assert "changed by hand" in shown.stderr
    export(deployed, folder, "--force")
    assert "ClusterIP" in service.read_text()


def test_keys_are_kept_and_not_shown(deployed, folder):
    """Keys are the same in each export, in one file for its owner only, and in no diff."""
    export(deployed, folder)
    secret = folder / "k8s" / KEYS
    assert secret.stat().st_mode & 0o077 == 0
    (body,) = objects(secret.read_text())
    assert len(body["data"]) == 4
    secret.write_text(secret.read_text().replace(body["data"]["replica.key"], "b2xk"))
    shown = deployed.cli("diff-k8s", cwd=folder).stdout
    assert "replica.key: (secret " in shown
    assert body["data"]["replica.key"] not in shown


def test_keys_are_renewed_where_that_is_asked(deployed, folder):
    """The export after that one has the new ones; where nothing is written none are made."""
    export(deployed, folder)
    first = (folder / "k8s" / KEYS).read_text()
    (folder / "k8s" / "mine.txt").touch()
    refused(deployed, folder, "export-k8s", "--renew-keys")
    (folder / "k8s" / "mine.txt").unlink()
    assert deployed.cli("diff-k8s", cwd=folder).returncode == 0
    export(deployed, folder, "--renew-keys", "--check")
    second = (folder / "k8s" / KEYS).read_text()
    assert second != first
    export(deployed, folder)
    assert (folder / "k8s" / KEYS).read_text() == second


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("export-k8s", "othr"), 4, ("'othr'", "did you mean other?")),
        (("export-k8s", "--kube-version", "1.99"), 2, ("1.99", "--kube-version")),
        (("export-k8s", "--namespace", "Shop_1"), 2, ("RFC 1123", "shop-1")),
        (("export-k8s", "--ingress", "https://a b/"), 2, ("ingress host", "for example")),
        (("export-k8s", "--service-type", "public"), 2, ("'public'", "LoadBalancer")),
        (("export-k8s", "--min", "6"), 2, ("--max 5", "--min 6")),
        (("export-k8s", "--max", "0"), 2, ("--max", "1 or above")),
        (("export-k8s", "--out", "a", "--helm", "b"), 2, ("exclude each other",)),
        (("export-k8s", "--image", "a:1"), 2, ("--image is for --standalone",)),
        (("export-k8s", "--standalone", "--ingress", "a.b"), 2, ("--ingress has no effect",)),
        (("export-k8s", "--ingress-class", "nginx"), 2, ("--ingress HOST",)),
        (("export-k8s", "--ingress-namespace", "any"), 2, ("--ingress HOST",)),
        (("export-k8s", "--push"), 2, ("--image-registry",)),
        (("export-k8s", "--image-registry", "http://a"), 2, ("without a scheme",)),
        (("export-k8s", "--standalone", "--helm", "c"), 2, ("one application",)),
        (("export-k8s", "--out", "/proc/none/k8s"), 1, ("/proc/none", "--out DIR")),
        (("diff-k8s",), 4, ("no export in k8s", "servd export-k8s")),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_a_wrong_word_gets_a_way_out(deployed, folder, args, code, words):
    """Each refusal names what was wrong and what to do; nothing is written."""
    found, said = refused(deployed, folder, *args)
    assert found == code, said
    assert all(word in said for word in words), said
    assert list(folder.iterdir()) == []


def test_nothing_deployed_and_no_daemon(folder):
    """An empty daemon has nothing to export; without daemon and data there is none to ask."""
    with fresh_daemon() as daemon:
        code, said = refused(daemon, folder, "export-k8s")
        assert (code, "servd start" in said) == (3, True)
        daemon.start()
        code, said = refused(daemon, folder, "export-k8s")
        assert (code, "servd deploy" in said) == (1, True)
        assert list(folder.iterdir()) == []


SECRET = "hunter2-cafe-7711"


@pytest.fixture(scope="module")
def with_variables():
    """Yield a running daemon with a version that has variables, threads and limits."""
    with fresh_daemon() as daemon:
        daemon.start()
        path = write_model(daemon, "func.py", SUM)
        flags = ("--threads", "2", "--memory", "300m", "--cpus", "1")
        deploy(daemon, path, *flags, "--env-var", f"TOKEN={SECRET}", "--env-var", "B=two words")
        yield daemon


def _variables(folder: Path) -> dict[str, str]:
    """Return what the Secret of an exported version holds."""
    for name, text in content(folder).items():
        for body in objects(text) if name.endswith(".yaml") else ():
            if body["kind"] == "Secret" and body["metadata"]["name"].endswith("-variables"):
                return {
                    name: base64.b64decode(value).decode() for name, value in body["data"].items()
                }
    return {}


@pytest.mark.parametrize("shape", [(), ("--standalone",)], ids=["cluster", "standalone"])
def test_variables_are_in_a_secret_of_their_own(with_variables, folder, shape):
    """Their values are there and nowhere else; limits and threads are the container's."""
    export(with_variables, folder, *REGISTRY, *shape, "--check")
    assert _variables(folder / "k8s") == {"B": "two words", "TOKEN": SECRET}
    files = content(folder / "k8s")
    assert not [name for name, text in files.items() if SECRET in text]
    encoded = base64.b64encode(SECRET.encode()).decode()
    (holding,) = [name for name, text in files.items() if encoded in text]
    assert (folder / "k8s" / holding).stat().st_mode & 0o077 == 0
    found = [
        body for name, text in files.items() if name.endswith(".yaml") for body in objects(text)
    ]
    (pod,) = [
        body["spec"]["template"]["spec"]["containers"][0]
        for body in found
        if body["kind"] == "Deployment" and body["metadata"]["name"] != "query-frontend"
    ]
    said = {each["name"]: each.get("value") for each in pod["env"]}
    assert said["OMP_NUM_THREADS"] == "2"
    assert pod["resources"]["limits"]["memory"] == "300Mi"
    assert {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"key": "TOKEN", "name": mock.ANY}}} in (
        pod["env"]
    )


def test_a_changed_value_is_a_change_that_is_not_shown(folder):
    """Of a chart too; with the daemon up, and down, where the registry is read from the disk."""
    with fresh_daemon() as daemon:
        daemon.start()
        path = write_model(daemon, "func.py", SUM)
        deploy(daemon, path, "--version", "1", "--env-var", f"TOKEN={SECRET}")
        places = [("--out", f"{folder}/k8s"), ("--helm", f"{folder}/chart")]
        for place in places:
            export(daemon, folder, *place)
        assert daemon.cli("model", "rm", "feature_sum", "--force").returncode == 0
        deploy(daemon, path, "--version", "1", "--env-var", "TOKEN=other-hidden-value")
        for is_up in (True, False):
            for place in places:
                done = daemon.cli("diff-k8s", *place, cwd=folder)
                assert done.returncode == 1, done.stderr
                assert "(secret " in done.stdout
                for value in (SECRET, "other-hidden-value"):
                    assert value not in done.stdout
                    assert base64.b64encode(value.encode()).decode() not in done.stdout
            if is_up:
                daemon.stop()


def test_values_are_told_on_the_daemons_own_machine_only(with_variables, folder):
    """No port has them, whoever asks; the error says where to go."""
    code, said = refused(with_variables, folder, "--admin", with_variables.admin_url, "export-k8s")
    assert code == 1
    assert "through the daemon's unix socket only" in said
    assert admin(with_variables, "GET", "/api/v1/variables")[0] == 405
    status, answer = admin(with_variables, "POST", "/api/v1/variables")
    assert (status, SECRET in json.dumps(answer)) == (403, False)

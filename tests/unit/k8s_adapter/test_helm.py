"""Helm charts, by Helm itself: lint, schema, and that they render to the objects of other forms."""

import base64
import copy
import dataclasses
import os
from pathlib import Path

import helm_python
import kubernetes_validate
import pytest
import yaml

from k8s_adapter.cluster import cluster_objects
from k8s_adapter.helm import SERVICE_SUFFIX, cluster_chart, standalone_chart
from k8s_adapter.kube_version import NEWEST, OLDEST
from k8s_adapter.options import Options
from k8s_adapter.snapshot import Application, Snapshot, Version
from k8s_adapter.standalone import StandaloneApp, standalone_apps, standalone_objects
from k8s_adapter.variables import CHECKSUM
from tests.export_state import SECRET_VALUES, as_deployed

GOLDEN = Path(__file__).parents[2] / "golden" / "k8s" / "chart"
OPTIONS = Options(namespace="test-ml-app", cpu_request="1", service_type="LoadBalancer")


def standalone_app(name: str = "credit", version: str = "1") -> StandaloneApp:
    """Return an application whose Service is named as in a chart."""
    snapshot = Snapshot(
        servd_version="0.1.0",
        frontend_image="unused",
        applications=(
            Application(name=name, input_type="doubles", slo_us=100_000, models=(name,)),
        ),
        versions=(
            Version(
                model=name, version=version, input_type="doubles", bundle="0" * 32, is_current=True
            ),
        ),
    )
    images = {f"{name}:{version}": "gcr.io/project/credit-standalone:1"}
    (app,) = standalone_apps(snapshot, images, service_suffix=SERVICE_SUFFIX)
    return app


class Charts:
    """Writes charts to a folder and renders them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, files: dict[str, str]) -> None:
        """Write a chart."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def render(self, values: dict | None = None, **where: str) -> tuple[list, str]:
        """Return the objects of a release, and its notes."""
        with helm_python.Chart.load(self.folder) as chart:
            chart.validate_schema(values)
            files = chart.render(values, name="release", **where)
        objects = [
            found
            for name, text in files.items()
            if name.endswith(".yaml")
            for found in yaml.load_all(text, yaml.CSafeLoader)
            if found is not None
        ]
        (notes,) = (text for name, text in files.items() if name.endswith("NOTES.txt"))
        return objects, notes

    def lint(self) -> list[str]:
        """Return what Helm finds wrong, but that the chart has no picture."""
        report = helm_python.lint(self.folder, strict=True)
        remarks = [message["error"] for message in report["messages"]]
        return [*report["errors"], *(text for text in remarks if "icon" not in text)]


@pytest.fixture
def charts(tmp_path):
    """Return an empty folder for a chart."""
    return Charts(tmp_path / "chart")


def keyed(objects, *, namespaced=True):
    """Return objects by kind and name, without what a chart adds where it is empty."""
    found = {}
    for original in objects:
        body = copy.deepcopy(original)
        if not namespaced:
            body["metadata"].pop("namespace", None)
        if body["kind"] == "Deployment":
            pod = body["spec"]["template"]["spec"]
            if pod.get("imagePullSecrets") == []:
                del pod["imagePullSecrets"]
        found[body["kind"], body["metadata"]["name"]] = body
    return found


@pytest.mark.parametrize(
    ("image", "policy"),
    [("credit-standalone:1", "IfNotPresent"), ("gcr.io/project/credit:2", "Always")],
)
def test_a_chart_pulls_by_the_image_of_its_values(charts, image, policy):
    """A bare name is of an image that the nodes have; another one is asked for at its registry."""
    charts.write(standalone_chart(standalone_app(), OPTIONS))
    objects, _ = charts.render({"app": {"image": image}})
    (deployment,) = (found for found in objects if found["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        Options(
            namespace="ml", token="not-a-token", image_pull_secret="registry-key", memory="1Gi"
        ),
    ],
    ids=["plain", "token and pull secret"],
)
def test_a_standalone_chart_is_the_standalone_shape(charts, options):
    """Rendered with its own values, it is what the other forms would have been."""
    app = standalone_app()
    charts.write(standalone_chart(app, options))
    assert charts.lint() == []
    objects, _ = charts.render(namespace="default")
    assert keyed(objects) == keyed(standalone_objects([app], options))
    for found in objects:
        kubernetes_validate.validate(found, str(NEWEST), strict=True)


def test_a_standalone_chart_is_as_recorded():
    """A chart's files are those that were looked at and recorded, byte by byte."""
    files = standalone_chart(standalone_app(), OPTIONS)
    if os.environ.get("SERVD_GOLDEN") == "write":
        Charts(GOLDEN).write(files)
    recorded = {
        path.relative_to(GOLDEN).as_posix(): path.read_text()
        for path in GOLDEN.rglob("*")
        if path.is_file()
    }
    assert recorded == files


def test_the_values_are_those_of_the_tutorial(charts):
    """Name, environment, namespace, image and ports have the tutorial's names, and are in force."""
    files = standalone_chart(standalone_app(), OPTIONS)
    charts.write(files)
    values = yaml.safe_load(files["values.yaml"])
    assert values["app"] == {
        "name": "credit",
        "env": "prod",
        "namespace": "test-ml-app",
        "image": "gcr.io/project/credit-standalone:1",
    }
    assert (values["containerPort"], values["targetPort"]) == (5000, 5000)
    given = {
        "app": {"name": "score", "env": "test", "namespace": "other", "image": "r/score:2"},
        "containerPort": 8080,
        "targetPort": 8080,
        "autoscaling": {"minReplicas": 2, "maxReplicas": 9, "cpuTarget": 70},
    }
    objects, notes = charts.render(given)
    found = {body["kind"]: body for body in objects}
    deployment = found["Deployment"]
    assert deployment["metadata"]["labels"]["env"] == "test"
    assert deployment["metadata"]["namespace"] == "other"
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "score"}}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "r/score:2"
    assert container["ports"][0]["containerPort"] == 8080
    assert found["Service"]["metadata"]["name"] == "score-lb"
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == 8080
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "score"
    assert found["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] == 9
    assert "kubectl describe service score-lb --namespace other" in notes


@pytest.mark.parametrize(
    ("values", "namespace", "made"),
    [
        ({}, "default", True),
        ({}, "test-ml-app", False),
        ({"createNamespace": False}, "default", False),
        ({"app": {"namespace": ""}}, "default", False),
    ],
    ids=["release elsewhere", "release there", "not wanted", "the release's own"],
)
def test_the_namespace_does_not_fight_create_namespace(charts, values, namespace, made):
    """A Namespace is made where it is not the release's own, which `--create-namespace` makes."""
    charts.write(standalone_chart(standalone_app(), OPTIONS))
    objects, _ = charts.render(values, namespace=namespace)
    assert ("Namespace" in {body["kind"] for body in objects}) is made
    expected = values.get("app", {}).get("namespace", "test-ml-app") or namespace
    assert {body["metadata"].get("namespace", expected) for body in objects} == {expected}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"app": {"name": "Credit_Score"}}, "at '/app/name'"),
        ({"app": {"name": "a" * 61}}, "at '/app/name'"),
        ({"app": {"namespace": "-"}}, "at '/app/namespace'"),
        ({"app": {"nmae": "credit"}}, "nmae"),
        ({"containerPort": 0}, "at '/containerPort'"),
        ({"containerPort": "5000"}, "at '/containerPort'"),
        ({"autoscaling": {"minReplicas": 0}}, "at '/autoscaling/minReplicas'"),
        ({"service": {"type": "Loadbalancer"}}, "at '/service/type'"),
        ({"replicas": 3}, "replicas"),
    ],
    ids=lambda values: str(values)[:40],
)
def test_wrong_values_are_refused(charts, values, words):
    """The schema refuses names that Kubernetes would, wrong types and unknown values."""
    charts.write(standalone_chart(standalone_app(), OPTIONS))
    with helm_python.Chart.load(charts.folder) as chart:
        with pytest.raises(helm_python.HelmValuesError) as refused:
            chart.validate_schema(values)
        assert words in str(refused.value)


def test_a_port_where_nothing_listens_is_refused(charts):
    """A Service that would send to another port than the container's does not render."""
    charts.write(standalone_chart(standalone_app(), OPTIONS))
    with pytest.raises(helm_python.HelmError, match="8080 is not containerPort 5000"):
        charts.render({"targetPort": 8080})


def test_braces_in_names_are_no_template(charts):
    """A version's name that looks like an expression stays what it is."""
    charts.write(standalone_chart(standalone_app(version="{{ .Values.x }}"), OPTIONS))
    objects, _ = charts.render()
    (deployment,) = (body for body in objects if body["kind"] == "Deployment")
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations["servd.io/version"] == "{{ .Values.x }}"


def test_a_cluster_chart_is_the_cluster_shape(charts, objects, secured):
    """Rendered with its own values, it is all objects of the export, in the release's namespace."""
    charts.write(cluster_chart(objects, secured, "0.1.0"))
    assert charts.lint() == []
    rendered, notes = charts.render(namespace="somewhere")
    expected = keyed(objects, namespaced=False)
    del expected["Namespace", "servd"]
    assert keyed(rendered) == expected
    assert "kubectl get pods --namespace somewhere" in notes


def test_a_chart_has_variables_as_values(charts, snapshot, secured):
    """Rendered with its own it is the other forms; another value is in the Secret, and new pods."""
    objects = cluster_objects(*as_deployed(snapshot, secured))
    charts.write(cluster_chart(objects, as_deployed(snapshot, secured)[1], "0.1.0"))
    assert charts.lint() == []
    expected = keyed(objects, namespaced=False)
    del expected["Namespace", "servd"]
    assert keyed(charts.render()[0]) == expected
    templates = [path.read_text() for path in (charts.folder / "templates").iterdir()]
    shown = base64.b64encode(SECRET_VALUES["TOKEN"].encode()).decode()
    assert not [text for text in templates if shown in text or SECRET_VALUES["TOKEN"] in text]
    rendered, _ = charts.render({"variables": {"feature-sum-2": {"TOKEN": 12}}})
    found = keyed(rendered)
    secret = found["Secret", "feature-sum-2-variables"]["data"]
    assert base64.b64decode(secret["TOKEN"]) == b"12"
    assert base64.b64decode(secret["NOTE"]).decode() == SECRET_VALUES["NOTE"]
    name = ("Deployment", "feature-sum-2")
    pods = [
        each["spec"]["template"]["metadata"]["annotations"]
        for each in (found[name], expected[name])
    ]
    assert pods[0][CHECKSUM] != pods[1][CHECKSUM]
    with pytest.raises(helm_python.HelmValuesError, match="TOKENS"):
        charts.render({"variables": {"feature-sum-2": {"TOKENS": "x"}}})


def test_a_standalone_chart_has_variables_as_values(charts):
    """The same where an application is one image; its Secret is called after the application."""
    app = standalone_app()
    app = dataclasses.replace(
        app, version=dataclasses.replace(app.version, env_vars=tuple(SECRET_VALUES), threads=2)
    )
    options = dataclasses.replace(OPTIONS, variables={"credit:1": SECRET_VALUES})
    charts.write(standalone_chart(app, options))
    assert charts.lint() == []
    rendered = keyed(charts.render()[0])
    expected = keyed(standalone_objects([app], options))
    name = ("Secret", "credit-variables")
    assert rendered[name] == expected[name]
    deployments = [found["Deployment", "credit"] for found in (rendered, expected)]
    boxes = [each["spec"]["template"]["spec"]["containers"][0]["env"] for each in deployments]
    assert boxes[0] == boxes[1]
    assert {"name": "OMP_NUM_THREADS", "value": "2"} in boxes[0]
    sums = [each["spec"]["template"]["metadata"]["annotations"] for each in deployments]
    assert sums[0][CHECKSUM] == sums[1][CHECKSUM]
    other = keyed(charts.render({"app": {"name": "other"}, "variables": {"TOKEN": "x"}})[0])
    assert base64.b64decode(other["Secret", "other-variables"]["data"]["TOKEN"]) == b"x"
    container = other["Deployment", "other"]["spec"]["template"]["spec"]["containers"][0]
    assert container["env"][-3]["valueFrom"]["secretKeyRef"]["name"] == "other-variables"


def test_a_cluster_chart_has_images_and_numbers_as_values(charts, objects, secured):
    """An image, the frontends' number, bounds and the Service's type can be set at an install."""
    charts.write(cluster_chart(objects, secured, "0.1.0"))
    rendered, _ = charts.render(
        {
            "workloads": {
                "query-frontend": {"replicas": 4},
                "feature-sum-1": {"image": "r/other:1"},
            },
            "autoscaling": {"feature-sum-1": {"maxReplicas": 20}},
            "service": {"type": "NodePort"},
            "imagePullSecrets": [{"name": "registry-key"}],
        }
    )
    found = keyed(rendered)
    frontend = found["Deployment", "query-frontend"]["spec"]
    assert frontend["replicas"] == 4
    assert frontend["template"]["spec"]["imagePullSecrets"] == [{"name": "registry-key"}]
    replica = found["Deployment", "feature-sum-1"]["spec"]["template"]["spec"]
    assert replica["containers"][0]["image"] == "r/other:1"
    assert found["HorizontalPodAutoscaler", "feature-sum-1"]["spec"]["maxReplicas"] == 20
    assert found["Service", "query-frontend"]["spec"]["type"] == "NodePort"


def test_braces_in_the_registry_are_no_template(charts, snapshot, secured):
    """A default output that looks like an expression reaches the frontends as it is."""
    odd = "{{ .Values.nothing }} }} {{"
    registry = {**snapshot.registry, "odd": odd}
    changed = dataclasses.replace(snapshot, registry=registry)
    objects = cluster_objects(changed, secured)
    charts.write(cluster_chart(objects, secured, "0.1.0"))
    rendered, _ = charts.render()
    name = ("ConfigMap", "query-registry")
    assert keyed(rendered)[name] == keyed(objects, namespaced=False)[name]


def test_the_oldest_release_has_its_autoscaler_in_a_chart_too(charts, snapshot, secured):
    """Its bounds and target are values as well, and a cluster of today takes it."""
    oldest = dataclasses.replace(secured, kube_version=OLDEST)
    charts.write(cluster_chart(cluster_objects(snapshot, oldest), oldest, "0.1.0"))
    rendered, _ = charts.render({"autoscaling": {"feature-sum-1": {"cpuTarget": 55}}})
    scaler = keyed(rendered)["HorizontalPodAutoscaler", "feature-sum-1"]
    assert scaler["spec"]["targetCPUUtilizationPercentage"] == 55
    kubernetes_validate.validate(scaler, str(NEWEST), strict=True)


@pytest.mark.parametrize(
    ("image", "policy", "expected"),
    [(None, "IfNotPresent", "0" * 32), ("host/team/credit:2", "Always", "")],
    ids=["own", "other"],
)
def test_a_chart_expects_the_model_of_its_own_image_only(charts, image, policy, expected):
    """Its name stands for one content; of one that `--set` names nothing is known."""
    own = f"host/team/credit-standalone:1-{'0' * 12}-1"
    charts.write(standalone_chart(dataclasses.replace(standalone_app(), image=own), OPTIONS))
    objects, _ = charts.render({"app": {"image": image}} if image else None)
    (deployment,) = (found for found in objects if found["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["imagePullPolicy"] == policy
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["SERVD_EXPECT_BUNDLE"] == expected

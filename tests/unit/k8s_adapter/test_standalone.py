"""The standalone shape: what the tutorials write by hand, and what they leave out."""

import dataclasses
import os
from pathlib import Path

import kubernetes_validate
import pytest

from k8s_adapter.check import check_files
from k8s_adapter.errors import ExportError, KubeNameError, NothingToExportError
from k8s_adapter.kube_version import NEWEST, OLDEST
from k8s_adapter.options import Options
from k8s_adapter.render import render_directory, render_single_file
from k8s_adapter.snapshot import Application, Snapshot, Version
from k8s_adapter.standalone import standalone_apps, standalone_objects
from tests.export_state import schemas_of

GOLDEN = Path(__file__).parents[2] / "golden" / "k8s" / "standalone.yaml"
IMAGE = "gcr.io/project/ml-serving:0.0.1"
OPTIONS = Options(namespace="test-ml-app", cpu_request="1", service_type="LoadBalancer")


def snapshot_of(*names: str, **more: object) -> Snapshot:
    """Return a registry with an application and a model of each name."""
    return Snapshot(
        servd_version="0.1.0",
        frontend_image="unused",
        applications=tuple(
            Application(name=name, input_type="doubles", slo_us=100_000, models=(name,))
            for name in names
        ),
        versions=tuple(
            Version(
                model=name,
                version="1",
                input_type="doubles",
                bundle="0" * 32,
                is_current=True,
                **more,
            )
            for name in names
        ),
    )


def objects_of(snapshot: Snapshot, options: Options = OPTIONS, *, suffix: str = "") -> dict:
    """Return the objects of a snapshot's applications by kind; the last of a kind counts."""
    images = {version.key: IMAGE for version in snapshot.versions}
    apps = standalone_apps(snapshot, images, service_suffix=suffix)
    return {found["kind"]: found for found in standalone_objects(apps, options)}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("credit-standalone:1", "IfNotPresent"),
        ("team/credit:1", "Always"),
        ("localhost:5000/credit:1", "Always"),
    ],
)
def test_an_image_of_no_registry_is_not_asked_for(image, policy):
    """A bare name was loaded into the nodes: a pull would fail, and the pod never start."""
    snapshot = snapshot_of("credit")
    apps = standalone_apps(snapshot, {"credit:1": image})
    (deployment,) = (
        found for found in standalone_objects(apps, OPTIONS) if found["kind"] == "Deployment"
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["imagePullPolicy"] == policy


def test_it_is_what_the_tutorials_write():
    """Labels, port, autoscaler, request and Service are those of the course, to the letter."""
    found = objects_of(snapshot_of("ml-app"))
    assert list(found) == ["Namespace", "Deployment", "Service", "HorizontalPodAutoscaler"]
    assert found["Namespace"]["metadata"]["name"] == "test-ml-app"
    deployment = found["Deployment"]
    assert deployment["metadata"]["name"] == "ml-app"
    assert deployment["metadata"]["labels"]["app"] == "ml-app"
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "ml-app"}}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["imagePullPolicy"] == "Always"
    assert [port["containerPort"] for port in container["ports"]] == [5000]
    assert container["resources"]["requests"]["cpu"] == "1"
    scaler = found["HorizontalPodAutoscaler"]
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert scaler["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ml-app"},
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 40},
                },
            }
        ],
    }
    service = found["Service"]
    assert service["metadata"]["name"] == "ml-app"
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["selector"] == {"app": "ml-app"}
    (port,) = service["spec"]["ports"]
    assert (port["protocol"], port["port"], port["targetPort"]) == ("TCP", 5000, 5000)


@pytest.mark.parametrize(
    ("written_for", "schemas"), [(OLDEST, "1.25"), (NEWEST, str(NEWEST))], ids=["oldest", "newest"]
)
def test_objects_pass_the_schemas_and_the_checks(written_for, schemas):
    """Every object passes Kubernetes' strict schema, and all of them the checks of `--check`."""
    options = dataclasses.replace(
        OPTIONS, kube_version=written_for, token="not-a-token", image_pull_secret="registry-key"
    )
    snapshot = snapshot_of("ml-app", "feature_sum", cpus=0.5, memory_bytes=2**30, gpus="1")
    images = {version.key: IMAGE for version in snapshot.versions}
    objects = standalone_objects(standalone_apps(snapshot, images), options)
    for found in objects:
        kubernetes_validate.validate(found, schemas, strict=True)
    assert check_files(render_directory(objects), schemas_of(written_for)) == []
    assert len(render_directory(objects)) == len(objects) == 8


def test_a_single_file_is_as_recorded():
    """The one file, split by ---, is the recorded one, byte by byte."""
    apps = standalone_apps(snapshot_of("ml-app"), {"ml-app:1": IMAGE})
    text = render_single_file(standalone_objects(apps, OPTIONS))
    if os.environ.get("SERVD_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert GOLDEN.read_text() == text
    assert check_files({GOLDEN.name: text}, schemas_of(OPTIONS.kube_version)) == []


def test_a_version_s_own_resources_go_first():
    """CPU and memory of the deployment are the pod's; without them the flags' are."""
    options = dataclasses.replace(OPTIONS, cpu_request="3", memory="700Mi")

    def resources(**own):
        deployment = objects_of(snapshot_of("a", **own), options)["Deployment"]
        return deployment["spec"]["template"]["spec"]["containers"][0]["resources"]

    assert resources() == {
        "requests": {"cpu": "3", "memory": "700Mi"},
        "limits": {"cpu": "3", "memory": "700Mi"},
    }
    own = resources(cpus=0.25, memory_bytes=512 * 2**20)
    assert own["requests"] == {"cpu": "250m", "memory": "512Mi"}
    assert own["limits"] == {"cpu": "2", "memory": "512Mi"}


def test_a_token_is_in_a_secret():
    """Where queries need a token, pods take it from a Secret and are replaced when it changes."""
    options = dataclasses.replace(OPTIONS, token="not-a-token")
    found = objects_of(snapshot_of("a"), options)
    template = found["Deployment"]["spec"]["template"]
    environment = template["spec"]["containers"][0]["env"]
    reference = {"secretKeyRef": {"name": found["Secret"]["metadata"]["name"], "key": "token"}}
    assert {"name": "SERVD_TOKEN", "valueFrom": reference} in environment
    assert "servd.io/token-checksum" in template["metadata"]["annotations"]


def test_a_name_that_kubernetes_refuses_becomes_the_nearest():
    """An underscore, which servd allows, is a dash on the cluster; the path keeps the name."""
    (app,) = standalone_apps(snapshot_of("feature_sum"), {"feature_sum:1": IMAGE})
    assert (app.name, app.application) == ("feature-sum", "feature_sum")


def test_two_names_that_become_one_are_refused():
    """Nothing is exported under a name that two applications would have."""
    with pytest.raises(ExportError, match="would both be called 'a-b'"):
        objects_of(snapshot_of("a_b", "a.b"))


def test_an_application_without_a_model_is_left_out():
    """There has to be one that a model with an image answers."""
    linked = snapshot_of("a")
    alone = Application(name="b", input_type="doubles", slo_us=1)
    both = dataclasses.replace(linked, applications=(*linked.applications, alone))
    assert [app.name for app in standalone_apps(both, {"a:1": IMAGE})] == ["a"]
    with pytest.raises(NothingToExportError, match="none were deployed for: a, b"):
        standalone_apps(both, {})
    with pytest.raises(NothingToExportError, match="no model version"):
        standalone_apps(dataclasses.replace(both, applications=()), {})


def test_only_the_current_version_is_exported():
    """The image is that of the version that answers here."""
    versions = tuple(
        Version(model="a", version=number, input_type="doubles", is_current=number == "2")
        for number in ("1", "2", "3")
    )
    snapshot = dataclasses.replace(snapshot_of("a"), versions=versions)
    (app,) = standalone_apps(snapshot, {f"a:{number}": number for number in "123"})
    assert app.image == "2"


def test_options_are_checked():
    """A namespace that Kubernetes refuses is refused before anything is written."""
    options = dataclasses.replace(OPTIONS, namespace="Not_A_Name")
    with pytest.raises(KubeNameError, match="namespace"):
        objects_of(snapshot_of("a"), options)

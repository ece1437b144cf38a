"""Each fault that `--check` knows, provoked in an export that has none."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from k8s_adapter.check import MAX_TEXTS_BYTES, check_files
from k8s_adapter.cluster import cluster_objects
from k8s_adapter.identity import Object
from k8s_adapter.kube_version import DEFAULT, KubeVersion
from k8s_adapter.options import Options
from k8s_adapter.render import file_name, render_directory, render_kustomize, to_yaml
from k8s_adapter.snapshot import Snapshot
from tests.export_state import schemas_of
from tests.k8s_finding import one, set_at

REPLICA = ("Deployment", "feature-sum-1")
FRONTEND = ("Deployment", "query-frontend")
SCALER = ("HorizontalPodAutoscaler", "feature-sum-1")
BUDGET = ("PodDisruptionBudget", "feature-sum-1")
SERVICE = ("Service", "feature-sum-1")
POD = "spec.template.spec"
BOX = f"{POD}.containers[0]"


@pytest.fixture(scope="module")
def exported(snapshot: Snapshot, secured: Options) -> list[Object]:
    """Return an export with every kind of object."""
    options = replace(secured, ingress="models.example.com", service_monitor=True)
    return cluster_objects(snapshot, options)


@pytest.fixture(scope="module")
def written(exported: list[Object]) -> dict[str, str]:
    """Return the files of `exported`."""
    return render_directory(exported)


@pytest.fixture
def objects(exported: list[Object]) -> list[Object]:
    """Return the objects of `exported`, to be changed."""
    return copy.deepcopy(exported)


@pytest.fixture
def export(objects: list[Object], written: dict[str, str]) -> tuple[list[Object], dict[str, str]]:
    """Return objects to be changed, and the files of all of them before that."""
    return objects, written


@pytest.mark.parametrize(
    ("where", "path", "value", "fault_path", "said"),
    [
        (SCALER, "apiVersion", "autoscaling/v2beta2", "apiVersion", "autoscaling/v2"),
        (REPLICA, "apiVersion", "extensions/v1beta1", "apiVersion", "apps/v1"),
        (REPLICA, "kind", "Deploiment", "kind", "not a kind"),
        (REPLICA, "spec.replica", 1, "spec.replica", "no such field"),
        (REPLICA, "spec.minReadySeconds", "10", "spec.minReadySeconds", "not of type 'integer'"),
        (
            REPLICA,
            f"{POD}.enableServiceLinks",
            0,
            f"{POD}.enableServiceLinks",
            "not of type 'boolean'",
        ),
        (SCALER, "spec.minReplicas", True, "spec.minReplicas", "not of type 'integer'"),
        (REPLICA, f"{BOX}.args", "--x", f"{BOX}.args", "not of type 'array'"),
        (REPLICA, "metadata.labels", {"a/b/c": "d"}, "metadata.labels.a/b/c", "a label's key"),
        (
            SERVICE,
            "spec.ports[0].targetPort",
            1.5,
            "spec.ports[0].targetPort",
            "'string' or 'integer'",
        ),
        (REPLICA, f"{POD}.securityContext", [], f"{POD}.securityContext", "not of type 'object'"),
        (REPLICA, f"{BOX}.image", ..., f"{BOX}.image", "is missing"),
        (REPLICA, "spec.selector", ..., "spec.selector", "is missing"),
        (REPLICA, "metadata.name", "Feature_Sum", "metadata.name", "RFC 1123"),
        (SERVICE, "metadata.name", "1-feature", "metadata.name", "RFC 1035"),
        (REPLICA, "metadata.labels.servd.io/model", "a b", "metadata.labels", "is refused"),
        (
            REPLICA,
            "spec.selector.matchLabels",
            {"app.kubernetes.io/instance": "other"},
            "spec.selector.matchLabels",
            "does not match",
        ),
        (SERVICE, "spec.selector", {"app": "other"}, "spec.selector", "finds no pods"),
        (SERVICE, "spec.ports[0].targetPort", 7002, "spec.ports[0].targetPort", "opens no port"),
        (
            REPLICA,
            f"{BOX}.readinessProbe.httpGet.port",
            "helth",
            f"{BOX}.readinessProbe.httpGet.port",
            "no container opens port helth",
        ),
        (REPLICA, f"{BOX}.livenessProbe", ..., f"{BOX}.livenessProbe", "is missing"),
        (REPLICA, f"{BOX}.ports[1].name", "rpc", f"{BOX}.ports[1].name", "twice"),
        (REPLICA, f"{BOX}.ports[1].name", "h" * 16, f"{BOX}.ports[1].name", "15 characters"),
        (REPLICA, f"{BOX}.ports[1].containerPort", 70000, f"{BOX}.ports[1]", "maximum of 65535"),
        (
            REPLICA,
            f"{BOX}.resources.requests.memory",
            "2Gi",
            f"{BOX}.resources.requests.memory",
            "over the limit of 1Gi",
        ),
        (
            REPLICA,
            f"{BOX}.resources.requests.cpu",
            "fast",
            f"{BOX}.resources.requests.cpu",
            "not an amount",
        ),
        (REPLICA, f"{BOX}.resources.requests.cpu", ..., f"{BOX}.resources", "is missing"),
        (REPLICA, f"{BOX}.volumeMounts[0].name", "tpm", f"{BOX}.volumeMounts[0]", "no volume"),
        (
            REPLICA,
            f"{POD}.terminationGracePeriodSeconds",
            4,
            f"{BOX}.lifecycle",
            "a pause of 5 s",
        ),
        (REPLICA, f"{POD}.serviceAccountName", "root", f"{POD}.serviceAccountName", "'root'"),
        (
            FRONTEND,
            f"{POD}.volumes[1].configMap.name",
            "query-registr",
            f"{POD}.volumes[1].configMap",
            "no ConfigMap 'query-registr'",
        ),
        (
            REPLICA,
            f"{POD}.volumes[1].secret.items[0].key",
            "replica.pub",
            f"{POD}.volumes[1].secret",
            "has no 'replica.pub'",
        ),
        (
            FRONTEND,
            f"{BOX}.env[1].valueFrom.secretKeyRef.name",
            "tokens",
            f"{BOX}.env[1].valueFrom.secretKeyRef",
            "no Secret 'tokens'",
        ),
        (
            SCALER,
            "spec.scaleTargetRef.name",
            "other",
            "spec.scaleTargetRef",
            "no Deployment 'other'",
        ),
        (SCALER, "spec.maxReplicas", 0, "spec.maxReplicas", "below spec.minReplicas"),
        (REPLICA, "spec.replicas", 3, "spec.scaleTargetRef", "sets spec.replicas"),
        (REPLICA, f"{BOX}.resources.requests", ..., "spec.metrics", "a share of nothing"),
        (BUDGET, "spec.maxUnavailable", 0, "spec.maxUnavailable", "ever be drained"),
        (BUDGET, "spec.minAvailable", 1, "spec.minAvailable", "a lone pod"),
        (BUDGET, "spec.selector.matchLabels", {"a": "b"}, "spec.selector", "finds no pods"),
        (
            ("NetworkPolicy", "servd-replica"),
            "spec.podSelector.matchLabels",
            {"a": "b"},
            "spec.podSelector",
            "finds no pods",
        ),
        (
            ("Ingress", "query-frontend"),
            "spec.rules[0].http.paths[0].backend.service.name",
            "frontend",
            "spec.rules[0].http.paths[0].backend.service.name",
            "no Service 'frontend'",
        ),
        (
            ("Ingress", "query-frontend"),
            "spec.rules[0].http.paths[0].backend.service.port.number",
            80,
            "spec.rules[0].http.paths[0].backend.service.port",
            "has no port 80",
        ),
        (
            ("ServiceMonitor", "query-frontend"),
            "spec.endpoints[0].port",
            "metrics",
            "spec.endpoints[0].port",
            "no Service has a port 'metrics'",
        ),
        (
            ("ServiceMonitor", "query-frontend"),
            "spec.selector.matchLabels",
            {"a": "b"},
            "spec.selector.matchLabels",
            "no Service has these labels",
        ),
        (REPLICA, "metadata.namespace", "other", "metadata.namespace", "other"),
        (("Namespace", "servd"), "metadata.name", "other", "metadata.namespace", "no Namespace"),
        (
            ("ConfigMap", "query-registry"),
            "data",
            {"registry.json": "x" * (MAX_TEXTS_BYTES + 1)},
            "data",
            "more than `kubectl apply` takes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_named_with_its_file_and_field(
    where: tuple[str, str],
    path: str,
    value: Any,
    fault_path: str,
    said: str,
    export: tuple[list[Object], dict[str, str]],
):
    """One wrong field is told with its file, its object, its path and what is wrong with it."""
    objects, written = export
    found = one(objects, *where)
    file = file_name(found)
    if path == "metadata.labels.servd.io/model":
        found["metadata"]["labels"]["servd.io/model"] = value
    else:
        set_at(found, path, value)
    files = {**written, file: to_yaml(found)}
    faults = check_files(files, schemas_of(DEFAULT))
    assert any(fault.path.startswith(fault_path) and said in fault.message for fault in faults), [
        str(fault) for fault in faults
    ]
    assert all(fault.file in files for fault in faults)


def test_an_export_without_a_fault_has_none(objects: list[Object]):
    """Directories and kustomizations as they are written pass."""
    assert check_files(render_directory(objects), schemas_of(DEFAULT)) == []
    assert check_files(render_kustomize(objects, "servd"), schemas_of(DEFAULT)) == []


def test_fields_of_newer_releases_are_told(objects: list[Object]):
    """What is written for one release is not good for an older one."""
    faults = check_files(render_directory(objects), schemas_of(KubeVersion(1, 26)))
    assert {fault.path for fault in faults} == {"spec.unhealthyPodEvictionPolicy"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML"),
        ("", "holds no object"),
        ("- a\n", "not an object"),
        ("a: 1\n", "not a kind"),
    ],
    ids=["no YAML", "empty", "a list", "no kind"],
)
def test_texts_that_are_no_objects_are_told(text: str, said: str):
    """A file that is no YAML, or holds no object, is told by its name."""
    (fault,) = check_files({"broken.yaml": text}, schemas_of(DEFAULT))
    assert fault.file == "broken.yaml"
    assert said in str(fault)


def test_ports_without_a_name_are_as_good(objects: list[Object]):
    """A container's port without a name is found by its number."""
    deployment, service = one(objects, *REPLICA), one(objects, *SERVICE)
    set_at(deployment, f"{BOX}.ports[0].name", ...)
    set_at(service, "spec.ports[0].targetPort", 7000)
    assert check_files(render_directory(objects), schemas_of(DEFAULT)) == []


def test_two_objects_of_one_name_are_told(objects: list[Object]):
    """An object that is there twice is told with the file of the other one."""
    files = render_directory(objects)
    files["zz-copy.yaml"] = files["feature-sum-1-service.yaml"]
    (fault,) = check_files(files, schemas_of(DEFAULT))
    assert "feature-sum-1-service.yaml" in fault.message
    assert str(fault).startswith("zz-copy.yaml: Service feature-sum-1 metadata.name: ")


def test_a_kustomization_names_files_that_are_there(objects: list[Object]):
    """A file that kustomization.yaml names and that is not there is told."""
    files = render_kustomize(objects, "servd")
    del files["feature-sum-1-pdb.yaml"]
    (fault,) = check_files(files, schemas_of(DEFAULT))
    assert fault.file == "kustomization.yaml"
    assert "feature-sum-1-pdb.yaml" in fault.message


def test_a_pause_of_the_kubelets_counts_too(snapshot: Snapshot, secured: Options):
    """The pause of newer releases has to fit into the grace period as well."""
    options = replace(secured, kube_version=KubeVersion(1, 33))
    objects = copy.deepcopy(cluster_objects(snapshot, options))
    one(objects, *REPLICA)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    faults = check_files(render_directory(objects), schemas_of(options.kube_version))
    assert [fault.path for fault in faults] == [f"{BOX}.lifecycle.preStop"]

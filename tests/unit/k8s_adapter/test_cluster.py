"""What the objects of the cluster shape say, alone and of each other."""

import dataclasses
import json

import pytest

from k8s_adapter import replicas, variables
from k8s_adapter.check import check_files
from k8s_adapter.cluster import cluster_objects
from k8s_adapter.errors import NothingToExportError
from k8s_adapter.faults import matches
from k8s_adapter.identity import Object
from k8s_adapter.kube_version import DEFAULT, NEWEST, OLDEST, KubeVersion
from k8s_adapter.options import Options
from k8s_adapter.render import render_directory
from k8s_adapter.snapshot import Snapshot, Version
from k8s_adapter.variables import gpu_count
from model_runtime import contract
from tests.export_state import schemas_of
from tests.k8s_finding import container, names, one, pod

VERSIONS = ["feature-sum-1", "feature-sum-2", "images-1", "prebuilt-9", "tags-2026-11"]


def test_every_version_has_a_deployment_and_a_headless_service(objects: list[Object]):
    """Each version with an image has a Deployment and a headless Service of one name."""
    assert sorted(names(objects, "Deployment")) == sorted([*VERSIONS, "query-frontend"])
    for name in VERSIONS:
        service = one(objects, "Service", name)["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True
        assert service["ports"][0]["port"] == 7000


def test_frontends_answer_at_the_service_that_guides_name(objects: list[Object]):
    """The Service query-frontend leads to port 1337 of the frontends."""
    service = one(objects, "Service", "query-frontend")["spec"]
    opened = container(one(objects, "Deployment", "query-frontend"))["ports"]
    assert [port["port"] for port in service["ports"]] == [1337]
    assert opened == [{"name": "http", "containerPort": 1337, "protocol": "TCP"}]


def test_selectors_find_their_own_pods_only(objects: list[Object]):
    """A Service's selector finds the pods of exactly one Deployment."""
    deployments = [o for o in objects if o["kind"] == "Deployment"]
    for service in (o for o in objects if o["kind"] == "Service"):
        found = [
            d["metadata"]["name"]
            for d in deployments
            if matches(service["spec"]["selector"], d["spec"]["template"]["metadata"]["labels"])
        ]
        assert found == [service["metadata"]["name"]]


def test_selectors_hold_nothing_that_changes(objects: list[Object]):
    """No selector holds a version of servd's, as a Deployment's selector can never be changed."""
    for deployment in (o for o in objects if o["kind"] == "Deployment"):
        assert set(deployment["spec"]["selector"]["matchLabels"]) == {
            "app.kubernetes.io/component",
            "app.kubernetes.io/instance",
        }


def test_the_registry_leads_to_the_services(objects: list[Object], registry: dict):
    """The published registry names every version's headless Service and holds the whole state."""
    text = one(objects, "ConfigMap", "query-registry")["data"]["registry.json"]
    published = json.loads(text)
    found = {"host": "tags-2026-11", "port": 7000, "scheme": "tls"}
    assert published["endpoints"]["Tags:2026.11"] == found
    assert {end["host"] for end in published["endpoints"].values()} == set(VERSIONS)
    assert published["registry"]["links"] == registry["links"]
    assert published["registry"]["current"] == registry["current"]


def test_a_changed_registry_restarts_no_frontend(snapshot: Snapshot, secured: Options):
    """A rollback changes the ConfigMap and leaves every Deployment as it is."""
    registry = {**snapshot.registry, "current": {**snapshot.registry["current"]}}
    registry["current"]["feature_sum"] = "1"
    before = cluster_objects(snapshot, secured)
    after = cluster_objects(dataclasses.replace(snapshot, registry=registry), secured)
    changed = [b["kind"] for b, a in zip(before, after, strict=True) if a != b]
    assert changed == ["ConfigMap"]


def test_the_registry_is_mounted_as_a_folder(objects: list[Object]):
    """The ConfigMap is mounted whole, as a single file of it would never change."""
    deployment = one(objects, "Deployment", "query-frontend")
    mounts = {mount["mountPath"]: mount for mount in container(deployment)["volumeMounts"]}
    assert "subPath" not in mounts["/etc/servd/registry"]


def test_replicas_are_autoscaled_from_one_to_five_at_forty_percent(objects: list[Object]):
    """By default a version that has one replica is scaled from 1 to 5 at 40 % of its CPU."""
    spec = one(objects, "HorizontalPodAutoscaler", "feature-sum-1")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 5)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 40
    assert "replicas" not in one(objects, "Deployment", "feature-sum-1")["spec"]


def test_the_number_of_replicas_that_was_asked_for_is_the_least(objects: list[Object]):
    """A version that was scaled to 2 never has less, unless the export is told so."""
    assert one(objects, "HorizontalPodAutoscaler", "feature-sum-2")["spec"]["minReplicas"] == 2


def test_a_given_minimum_counts_for_every_version(snapshot: Snapshot, secured: Options):
    """`--min` is the least number whatever a version was scaled to; `--max` is never below it."""
    options = dataclasses.replace(secured, min_replicas=7, max_replicas=7)
    spec = one(cluster_objects(snapshot, options), "HorizontalPodAutoscaler", "feature-sum-2")[
        "spec"
    ]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (7, 7)


def test_a_version_scaled_to_zero_stays_there(objects: list[Object]):
    """A version with no replicas wanted is kept ready to be scaled, by no autoscaler."""
    assert one(objects, "Deployment", "images-1")["spec"]["replicas"] == 0
    assert "images-1" not in names(objects, "HorizontalPodAutoscaler")


def test_older_releases_get_the_older_autoscaler(snapshot: Snapshot, secured: Options):
    """Before 1.23 the autoscaler is v1, and fields that came later are left out."""
    options = dataclasses.replace(secured, kube_version=KubeVersion(1, 22), cpu_target=60)
    objects = cluster_objects(snapshot, options)
    scaler = one(objects, "HorizontalPodAutoscaler", "feature-sum-1")
    assert scaler["apiVersion"] == "autoscaling/v1"
    assert scaler["spec"]["targetCPUUtilizationPercentage"] == 60
    assert "metrics" not in scaler["spec"]
    budget = one(objects, "PodDisruptionBudget", "feature-sum-1")
    assert "unhealthyPodEvictionPolicy" not in budget["spec"]


@pytest.mark.parametrize("minor", range(OLDEST.minor, NEWEST.minor + 1))
def test_what_is_written_for_a_release_is_taken_by_every_later_one(
    minor: int, snapshot: Snapshot, secured: Options
):
    """Also what is written for the oldest one, by the clusters of today."""
    options = dataclasses.replace(secured, kube_version=KubeVersion(1, minor), ingress="a.example")
    files = render_directory(cluster_objects(snapshot, options))
    for later in range(minor, NEWEST.minor + 1):
        assert check_files(files, schemas_of(KubeVersion(1, later))) == []


@pytest.mark.parametrize(
    ("minor", "hook"),
    [
        (29, {"exec": {"command": ["python3", "-ISc", "import time; time.sleep(5)"]}}),
        (30, {"sleep": {"seconds": 5}}),
    ],
    ids=["by a command", "by the kubelet"],
)
def test_replicas_pause_before_they_end(
    minor: int, hook: Object, snapshot: Snapshot, secured: Options
):
    """A replica goes on answering until frontends have heard that it leaves."""
    options = dataclasses.replace(secured, kube_version=KubeVersion(1, minor))
    deployment = one(cluster_objects(snapshot, options), "Deployment", "feature-sum-1")
    assert container(deployment)["lifecycle"]["preStop"] == hook
    assert pod(deployment)["terminationGracePeriodSeconds"] > 5 + 30


def test_updates_lose_no_capacity(objects: list[Object]):
    """An update waits for a new pod to be ready, and found, before it ends an old one."""
    spec = one(objects, "Deployment", "feature-sum-1")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] == 10


def test_budgets_let_a_lone_pod_be_drained(objects: list[Object]):
    """Every budget lets one pod go at any time."""
    budgets = [o for o in objects if o["kind"] == "PodDisruptionBudget"]
    assert len(budgets) == 6
    assert all(budget["spec"]["maxUnavailable"] == 1 for budget in budgets)


def test_pods_are_restricted(objects: list[Object]):
    """Every pod is restricted: no root, no capabilities, nothing to write to but /tmp."""
    for deployment in (o for o in objects if o["kind"] == "Deployment"):
        spec, inside = pod(deployment), container(deployment)["securityContext"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert inside["readOnlyRootFilesystem"]
        assert inside["capabilities"] == {"drop": ["ALL"]}
        assert not inside["allowPrivilegeEscalation"]


def test_loaded_images_are_not_pulled(objects: list[Object]):
    """Images that were loaded into a node are used from there."""
    for deployment in (o for o in objects if o["kind"] == "Deployment"):
        assert container(deployment)["imagePullPolicy"] == "IfNotPresent"


def test_a_versions_own_limits_count(objects: list[Object]):
    """Memory, CPU and GPUs that a version was deployed with are what its pods get."""
    given = container(one(objects, "Deployment", "tags-2026-11"))["resources"]
    assert given == {
        "requests": {"cpu": "1500m", "memory": "2Gi"},
        "limits": {"cpu": "1500m", "memory": "2Gi", "nvidia.com/gpu": "1"},
    }


@pytest.mark.parametrize(
    ("text", "count"),
    [(None, 0), ("", 0), ("0", 0), ("2", 2), ("all", 1), ("device=0,3", 2)],
    ids=str,
)
def test_gpus_become_a_number(text: str | None, count: int):
    """A cluster counts GPUs, whatever way they were asked for."""
    version = Version(model="m", version="1", input_type="doubles", gpus=text)
    assert gpu_count(version) == count


@pytest.mark.parametrize(("device", "count"), [("cpu", 0), ("auto", 0), ("cuda", 1), ("cuda:3", 1)])
def test_a_device_becomes_a_number(device: str, count: int):
    """One of a CUDA device, whichever a node has; what may do without asks for none."""
    version = Version(model="m", version="1", input_type="doubles", device=device)
    assert gpu_count(version) == count


def test_batching_reaches_the_replicas(objects: list[Object]):
    """A version's largest batch is an argument of its replicas; an adaptive one is not."""
    fixed = container(one(objects, "Deployment", "feature-sum-1"))["args"]
    adaptive = container(one(objects, "Deployment", "feature-sum-2"))["args"]
    assert fixed[fixed.index("--max-batch") + 1] == "16"
    assert "--max-batch" not in adaptive


def test_names_that_were_changed_are_told_whole(objects: list[Object]):
    """A replica is told its model's real name, which labels cannot always hold."""
    assert "--model=Tags" in container(one(objects, "Deployment", "tags-2026-11"))["args"]


@pytest.mark.parametrize("name", ["default", "kube-system"])
def test_a_namespace_that_every_cluster_has_is_not_made(
    name: str, snapshot: Snapshot, secured: Options
):
    """Deleting the export must not try to delete the cluster's own namespaces."""
    objects = cluster_objects(snapshot, dataclasses.replace(secured, namespace=name))
    assert names(objects, "Namespace") == []


def test_the_namespace_comes_first(objects: list[Object]):
    """A single file can be applied from top to bottom."""
    assert objects[0]["kind"] == "Namespace"


def test_nothing_to_export_is_an_error(snapshot: Snapshot, secured: Options):
    """A state without anything that could run says what to do first."""
    empty = dataclasses.replace(snapshot, versions=())
    with pytest.raises(NothingToExportError) as caught:
        cluster_objects(empty, secured)
    assert "servd deploy" in caught.value.hint


def test_an_image_that_is_a_replica_by_itself_runs_as_it_is(snapshot: Snapshot, secured: Options):
    """It gets the variables of docs/protocol.md, no arguments, and no probe of what it lacks."""
    for version, has_hook in ((DEFAULT, False), (NEWEST, True)):
        options = dataclasses.replace(secured, kube_version=version)
        objects = cluster_objects(snapshot, options)
        box = container(one(objects, "Deployment", "prebuilt-9"))
        assert "args" not in box
        assert "command" not in box
        variables = {entry["name"]: entry["value"] for entry in box["env"]}
        assert (
            variables.items()
            >= {
                "SERVD_LISTEN": "tcp://0.0.0.0:7000",
                "SERVD_CURVE": "/etc/servd/curve",
                "SERVD_MAX_BATCH": "-1",
                "SERVD_MODEL_NAME": "prebuilt",
                "SERVD_MODEL_VERSION": "9",
            }.items()
        )
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert box[probe]["tcpSocket"] == {"port": "rpc"}
        assert ("lifecycle" in box) == has_hook


def test_what_an_export_says_of_replicas_is_what_they_do():
    """The adapter imports nothing of servd, so what both must know is written twice."""
    assert variables.THREAD_VARIABLES == contract.THREAD_VARIABLES
    assert variables.ALL_THREAD_VARIABLES == contract.ALL_THREAD_VARIABLES
    assert replicas.HEALTH_PORT == contract.HEALTH_PORT
    assert replicas.REPLICA_PORT == contract.REPLICA_PORT

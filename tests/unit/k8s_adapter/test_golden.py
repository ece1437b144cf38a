"""What exports look like, byte by byte. `SERVD_GOLDEN=write pytest ...` writes the files anew."""

import dataclasses
import os
import random
from pathlib import Path
from typing import Any

import pytest

from k8s_adapter.check import check_files
from k8s_adapter.cluster import cluster_objects
from k8s_adapter.identity import Object
from k8s_adapter.kube_version import NEWEST, OLDEST, KubeVersion
from k8s_adapter.options import Options
from k8s_adapter.render import render_directory, render_kustomize, render_single_file
from k8s_adapter.snapshot import Snapshot, read_snapshot
from tests.export_state import as_deployed, schemas_of

GOLDEN = Path(__file__).parents[2] / "golden" / "k8s"


def with_everything(secured: Options, kube_version: KubeVersion) -> Options:
    """Return options that have every kind of object made."""
    return dataclasses.replace(
        secured,
        namespace="shop",
        kube_version=kube_version,
        min_replicas=2,
        max_replicas=8,
        cpu_target=70,
        cpu_request="500m",
        memory="768Mi",
        service_type="LoadBalancer",
        ingress="models.example.com",
        ingress_class="nginx",
        image_pull_secret="registry-key",
        service_monitor=True,
    )


def render(name: str, snapshot: Snapshot, secured: Options) -> dict[str, str]:
    """Return the files of a golden folder."""
    if name == "cluster":
        return render_directory(cluster_objects(snapshot, secured))
    if name == "runs":
        return render_directory(cluster_objects(*as_deployed(snapshot, secured)))
    if name == "kustomize":
        return render_kustomize(cluster_objects(snapshot, secured), secured.namespace)
    version = OLDEST if name == "oldest" else NEWEST
    objects = cluster_objects(snapshot, with_everything(secured, version))
    return {"all.yaml": render_single_file(objects)}


@pytest.mark.parametrize("name", ["cluster", "kustomize", "oldest", "newest", "runs"])
def test_an_export_is_as_recorded(name: str, snapshot: Snapshot, secured: Options):
    """An export's files are those that were looked at and recorded, byte by byte."""
    files = render(name, snapshot, secured)
    folder = GOLDEN / name
    if os.environ.get("SERVD_GOLDEN") == "write":
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for file, text in files.items():
            (folder / file).write_text(text)
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


@pytest.mark.parametrize("name", ["cluster", "kustomize", "oldest", "newest", "runs"])
def test_a_recorded_export_has_no_faults(name: str, secured: Options):
    """The recorded files pass the checks of `--check` for their Kubernetes version."""
    files = {path.name: path.read_text() for path in (GOLDEN / name).iterdir()}
    version = {"oldest": OLDEST, "newest": NEWEST}.get(name, secured.kube_version)
    assert check_files(files, schemas_of(version)) == []


def test_the_order_of_a_registry_does_not_show(
    registry: dict[str, Any], snapshot: Snapshot, secured: Options
):
    """Two registries that differ only in their order give the same bytes."""
    turned = {
        **registry,
        "applications": random.Random(1).sample(registry["applications"], 3),
        "versions": random.Random(2).sample(registry["versions"], 5),
        "current": dict(reversed(registry["current"].items())),
    }
    again = read_snapshot(
        turned,
        servd_version=snapshot.servd_version,
        frontend_image=snapshot.frontend_image,
        images={version.key: version.image or "" for version in snapshot.versions},
    )
    first: list[Object] = cluster_objects(snapshot, secured)
    assert render_single_file(cluster_objects(again, secured)) == render_single_file(first)

"""The state that the tests of exports share: 3 applications, 5 versions, every input type."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from k8s_adapter import check
from k8s_adapter.cluster import cluster_objects
from k8s_adapter.identity import Object
from k8s_adapter.kube_version import KubeVersion
from k8s_adapter.options import Options
from k8s_adapter.snapshot import Snapshot, read_snapshot
from servd.export.schemas import Schemas

GOLDEN = Path(__file__).parent / "golden" / "k8s"


@functools.cache
def schemas_of(version: KubeVersion) -> check.Schemas:
    """Return a release's schemas, which are read once and asked once of equal objects."""
    ask, told = Schemas(version), dict[str, list[tuple[str, str]]]()

    def faults_of(body: Object) -> list[tuple[str, str]]:
        text = repr(body)
        if text not in told:
            told[text] = [*ask(body)]
        return told[text]

    return faults_of


@pytest.fixture(scope="session")
def registry() -> dict[str, Any]:
    """Return a registry as it travels to frontends."""
    return json.loads((GOLDEN / "state.json").read_text())


@pytest.fixture(scope="session")
def snapshot(registry: dict[str, Any]) -> Snapshot:
    """Return what is exported of the registry; `prebuilt:9` has an image of its own."""
    return read_snapshot(
        registry,
        servd_version="0.1.0",
        frontend_image="registry.example:5000/servd-frontend:0.1.0",
        images={
            "feature_sum:1": "registry.example:5000/feature_sum:1",
            "feature_sum:2": "registry.example:5000/feature_sum:2",
            "Tags:2026.11": "registry.example:5000/tags-0a1b2c3d:2026.11",
            "images:1": f"registry.example:5000/images@sha256:{'4' * 64}",
        },
    )


@pytest.fixture(scope="session")
def secured() -> Options:
    """Return the options of an export as it is by default: with keys and a token."""

    def texts(*endings: str) -> dict[str, str]:
        names = [f"{role}.{ending}" for role in ("replica", "frontend") for ending in endings]
        return {name: f"not a key but the text of {name}" for name in names}

    return Options(tls=texts("crt", "key"), curve=texts("public", "secret"), token="not-a-token")


@pytest.fixture
def objects(snapshot: Snapshot, secured: Options) -> list[Object]:
    """Return the objects of the default export, made anew for each test."""
    return cluster_objects(snapshot, secured)

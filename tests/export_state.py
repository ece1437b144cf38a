"""The state that the tests of exports share: 3 applications, 5 versions, every input type."""

import dataclasses
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


SECRET_VALUES = {"TOKEN": "not-a-token-of-a-database", "NOTE": "-----\n<one> & two: 'x'\n"}
"""Variables of a version: what is to be seen in a Secret only, and as it is."""


def as_deployed(snapshot: Snapshot, options: Options) -> tuple[Snapshot, Options]:
    """Return both where a version has variables, and others a device, threads and limits."""
    own: dict[str, dict[str, Any]] = {
        "feature_sum:2": {"env_vars": tuple(SECRET_VALUES), "threads": 3, "cpus": 2.0},
        "Tags:2026.11": {"device": "cuda:1", "memory_bytes": 3 * 2**30},
        "images:1": {"device": "cpu"},
        "prebuilt:9": {"env_vars": ("TOKEN",), "device": "cuda", "gpus": None},
    }
    versions = tuple(
        dataclasses.replace(version, **own.get(version.key, {})) for version in snapshot.versions
    )
    variables = {"feature_sum:2": SECRET_VALUES, "prebuilt:9": {"TOKEN": "another"}}
    return (
        dataclasses.replace(snapshot, versions=versions),
        dataclasses.replace(options, variables=variables),
    )


@pytest.fixture
def objects(snapshot: Snapshot, secured: Options) -> list[Object]:
    """Return the objects of the default export, made anew for each test."""
    return cluster_objects(snapshot, secured)

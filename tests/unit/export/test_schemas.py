"""Kubernetes' schemas with what a cluster asks beyond them, as `--check` looks at objects."""

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes_validate import utils

from k8s_adapter import rules
from k8s_adapter.cluster import cluster_objects
from k8s_adapter.identity import Object
from k8s_adapter.kube_version import DEFAULT, NEWEST, OLDEST, KubeVersion
from k8s_adapter.options import Options
from k8s_adapter.snapshot import Snapshot
from servd.export.errors import NoSchemasError
from servd.export.schemas import Schemas
from tests.export_state import registry, schemas_of, secured, snapshot

__all__ = ["registry", "secured", "snapshot"]


@pytest.fixture(scope="module")
def every_kind(snapshot: Snapshot, secured: Options) -> list[Object]:
    """Return an object of each kind."""
    options = replace(secured, ingress="models.example.com", service_monitor=True)
    return list({found["kind"]: found for found in cluster_objects(snapshot, options)}.values())


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each field."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def holder(body: Object, path: tuple[str | int, ...]) -> tuple[Object, Any]:
    """Return a copy of an object, and in it what holds the field at a path."""
    found = inside = copy.deepcopy(body)
    for part in path[:-1]:
        inside = inside[part]
    return found, inside


MAPS = ("labels", "matchLabels", "annotations", "data", "selector", "requests", "limits")


def test_every_field_that_is_misspelt_is_told(every_kind: list[Object]):
    """One letter too many, at any depth of any kind, is told by the path of that field."""
    for body in every_kind:
        for path in places(body):
            if len(path) > 1 and path[-2] in MAPS:
                continue  # their keys are no fields
            found, inside = holder(body, path)
            inside[f"{path[-1]}s"] = inside.pop(path[-1])
            told = dict(schemas_of(DEFAULT)(found))
            is_known_by = path in (("kind",), ("apiVersion",))
            wanted = str(path[-1]) if is_known_by else f"{path[-1]}s"
            assert any(key.rpartition(".")[2] == wanted for key in told), (path, told)


def test_nothing_in_place_of_something_is_told(every_kind: list[Object]):
    """A field without a value is told where it stands; Kubernetes would take it for none."""
    for body in every_kind:
        for path in places(body):
            found, inside = holder(body, path)
            inside[path[-1]] = None
            told = dict(schemas_of(DEFAULT)(found))
            assert any(key.endswith(str(path[-1])) for key in told), (path, told)


@pytest.mark.parametrize("minor", range(OLDEST.minor, NEWEST.minor + 1))
def test_each_rule_is_of_something_in_each_release(minor: int):
    """No release's schemas have a definition or a field by another name than the rules know."""
    release = max(minor, 25)  # the oldest that there are
    folder = f"kubernetes-json-schema/v1.{release}.0-local-strict"
    definitions = utils.schema_contents(f"{folder}/_definitions.json", "")["$defs"]
    before = json.dumps(definitions)
    found = rules.strengthened(definitions, KubeVersion(1, minor))
    fields = {key for one in definitions.values() for key in one.get("properties", ())}
    younger = {name for name, since in rules.SINCE.items() if since > (1, minor)}
    assert rules._RULES.keys() <= fields | younger
    for name, needed in rules._NEEDED.items():
        assert set(needed) <= set(found[f"io.k8s.api.{name}"]["required"])
        assert set(needed) <= found[f"io.k8s.api.{name}"]["properties"].keys()
    assert json.dumps(definitions) == before


@pytest.mark.parametrize(
    ("field", "since"), [("grpc", KubeVersion(1, 24)), ("sleep", KubeVersion(1, 30))]
)
def test_fields_that_came_later_are_told_with_their_release(
    field: str, since: KubeVersion, every_kind: list[Object]
):
    """Also those that the schemas have: 1.25's stand in for older ones, and 1.29's sleep is off."""
    (body,) = (found for found in every_kind if found["kind"] == "Deployment")
    found, inside = holder(body, ("spec", "template", "spec", "containers", 0, "x"))
    if field == "grpc":
        inside["livenessProbe"] = {"grpc": {"port": 7000}}
    else:
        inside["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    before = KubeVersion(1, since.minor - 1)
    ((path, said),) = schemas_of(before)(found)
    assert path.endswith(field)
    assert said == f"exists from Kubernetes {since} on, not in {before}"
    assert list(schemas_of(since)(found)) == []


def test_the_autoscaler_of_1_23_is_none_of_1_22(every_kind: list[Object]):
    """Where the schemas of 1.25 stand in, what came since the wanted release is left out."""
    (scaler,) = (found for found in every_kind if found["kind"] == "HorizontalPodAutoscaler")
    assert list(schemas_of(KubeVersion(1, 23))(scaler)) == []
    ((path, said),) = schemas_of(KubeVersion(1, 22))(scaler)
    assert path == "apiVersion"
    assert said.endswith("'autoscaling/v2'; it has autoscaling/v1 and autoscaling/v2beta2")


def test_all_faults_of_an_object_are_told(every_kind: list[Object]):
    """Not the first alone, as the library's own `validate` does."""
    (body,) = (found for found in every_kind if found["kind"] == "ServiceMonitor")
    found = copy.deepcopy(body)
    found["spec"]["endpoints"][0] |= {"paths": "/x", "interval": 5}
    del found["metadata"]["name"], found["spec"]["selector"]
    assert {path for path, _ in schemas_of(DEFAULT)(found)} == {
        "metadata.name",
        "spec.endpoints[0].paths",
        "spec.endpoints[0].interval",
        "spec.selector",
    }


@pytest.mark.parametrize("missing", ["jsonschema", "kubernetes_validate"])
def test_without_the_extra_it_is_said_what_to_install(missing: str, monkeypatch):
    """It is named by the command that installs it."""
    monkeypatch.delitem(sys.modules, "kubernetes_validate.utils", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(NoSchemasError) as refused:
        Schemas(DEFAULT)
    assert "pip install 'servd[k8s]'" in str(refused.value.hint)

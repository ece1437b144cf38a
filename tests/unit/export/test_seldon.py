"""An export for Seldon Core: one SeldonDeployment for each application, of the standalone image."""

from dataclasses import replace
from pathlib import Path

import click
import pytest
import yaml

from servd.cli.export_flags import settings_of
from servd.export.next_steps import next_steps
from servd.export.plan import SINGLE, plan_export
from servd.export.schemas import Schemas
from servd.export.settings import ExportSettings, Form, Shape, options_of

SETTINGS = ExportSettings(
    shape=Shape.STANDALONE, seldon=True, form=Form.SINGLE_FILE, namespace="ml", apps=("iris",)
)


def test_an_application_is_one_predictor_of_one_model(registry, secrets):
    """The container that the graph names answers at its port http; the operator makes the rest."""
    plan = plan_export(registry, SETTINGS, secrets)
    namespace, found = yaml.safe_load_all(plan.files[SINGLE])
    assert namespace["kind"] == "Namespace"
    assert (found["apiVersion"], found["kind"]) == (
        "machinelearning.seldon.io/v1",
        "SeldonDeployment",
    )
    assert found["metadata"]["name"] == "iris"
    (predictor,) = found["spec"]["predictors"]
    assert predictor["graph"] == {
        "name": "iris",
        "type": "MODEL",
        "endpoint": {"type": "REST"},
        "children": [],
    }
    (component,) = predictor["componentSpecs"]
    (container,) = component["spec"]["containers"]
    assert container["name"] == "iris"
    assert container["ports"][0] == {"containerPort": 5000, "name": "http", "protocol": "TCP"}
    assert component["hpaSpec"]["maxReplicas"] == 5
    assert [container["image"]] == list(plan.images)
    with_token = replace(secrets, token="secret")
    assert plan_export(registry, SETTINGS, with_token).files == plan.files


def test_its_pods_are_held_to_kubernetes_schemas(registry, secrets):
    """Of the kind itself Kubernetes knows nothing."""
    plan = plan_export(registry, SETTINGS, secrets)
    schemas = Schemas(options_of(SETTINGS, secrets).kube_version)
    body = plan.objects[-1]
    assert not [*schemas(body)]
    body["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["port"] = 1
    ((path, said),) = schemas(body)
    assert path.startswith("spec.predictors[0].componentSpecs[0].spec.containers[0]")
    assert "no such field" in said


def test_the_next_steps_are_those_of_the_operator(registry, secrets):
    """It is waited for by its own kind, and asked by the gateway's path."""
    plan = plan_export(registry, SETTINGS, secrets)
    steps = "\n".join(next_steps(plan, Path("x.yaml"), registry, {}))
    assert "kubectl wait sdep/iris" in steps
    assert "/seldon/ml/iris/api/v1.0/predictions" in steps


@pytest.mark.parametrize(
    ("form", "more", "words"),
    [(Form.HELM, {}, "--helm"), (Form.DIRECTORY, {"service_type": "NodePort"}, "--service-type")],
)
def test_what_it_cannot_be_is_refused(form, more, words):
    """With which flags it clashes."""
    flags = {"standalone": False, "seldon": True, "service_type": None, **more}
    with pytest.raises(click.UsageError, match=words):
        settings_of((), form, flags)

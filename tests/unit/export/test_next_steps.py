"""The commands that are printed after an export."""

import shlex
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from model_runtime.manifest import Manifest, write
from model_runtime.signature import Signature
from servd.datatypes import Application, InputType, ModelVersion, RegistryState, VersionId
from servd.export.next_steps import next_steps, read_examples
from servd.export.plan import plan_export
from servd.export.settings import ExportSettings, Form, Shape


def steps_of(registry, secrets, path="k8s", examples=(), **given):
    """Return the commands after an export."""
    settings = ExportSettings(**given)
    plan = plan_export(registry, settings, secrets)
    return next_steps(plan, Path(path), registry, dict(examples))


@pytest.mark.parametrize(
    ("form", "first"),
    [
        (Form.DIRECTORY, "kubectl apply -f k8s"),
        (Form.SINGLE_FILE, "kubectl apply -f k8s"),
        (Form.KUSTOMIZE, "kubectl apply -k k8s"),
        (Form.HELM, "helm install servd k8s --namespace ml --create-namespace"),
    ],
)
def test_each_form_is_applied_in_its_way(registry, secrets, form, first):
    """The first command brings it onto the cluster; the others look at it and ask it."""
    steps = steps_of(registry, secrets, form=form, namespace="ml")
    assert steps == [
        first,
        "kubectl rollout status deployment/query-frontend --namespace ml",
        "kubectl get pods --namespace ml",
        "kubectl describe service query-frontend --namespace ml",
        "kubectl port-forward service/query-frontend 1337:1337 --namespace ml",
    ]


def test_the_standalone_shape_is_asked_on_its_own_port(registry, secrets):
    """Names and port are those of the application's own image."""
    given = {"shape": Shape.STANDALONE, "apps": ("tags",), "form": Form.HELM}
    steps = steps_of(registry, secrets, examples={"tags": "some text"}, **given)
    assert steps[0] == "helm install tags k8s --namespace servd --create-namespace"
    assert steps[1] == "kubectl rollout status deployment/tags --namespace servd"
    assert steps[4].startswith("kubectl port-forward service/tags-lb 5000:5000")
    assert steps[5] == 'curl -d \'{"input":"some text"}\' http://127.0.0.1:5000/tags/predict'


def test_the_example_of_the_models_owner_is_asked(registry, secrets):
    """Nobody else knows what a model takes, so without one no curl line is printed."""
    assert not any(step.startswith("curl") for step in steps_of(registry, secrets))
    steps = steps_of(registry, secrets, examples={"iris": [5, 3, 1, 2]})
    assert steps[-1].startswith("curl -d '{\"input\":[5,3,1,2]}'")


def test_an_application_that_nothing_answers_for_is_not_asked(registry, secrets):
    """The curl line goes to one whose current version has replicas."""
    key = VersionId("iris", "2")
    registry.versions[key] = msgspec.structs.replace(registry.versions[key], replicas=0)
    steps = steps_of(registry, secrets, examples={"iris": [1], "tags": "a"})
    assert steps[-1].endswith("/tags/predict")


def test_a_shell_takes_the_commands_as_they_are_meant(registry, secrets):
    """A path with a space is one word; a token is named, not shown."""
    guarded = replace(secrets, token="not-a-token")
    steps = steps_of(registry, guarded, path="my files/k8s", examples={"iris": [1]})
    assert shlex.split(steps[0]) == ["kubectl", "apply", "-f", "my files/k8s"]
    assert '"Authorization: Bearer $SERVD_TOKEN"' in steps[-1]
    assert "not-a-token" not in str(steps)


def test_examples_are_those_of_the_bundles_that_are_here(tmp_path):
    """An application whose bundle is elsewhere, or has no example, has none."""
    for digest, example in (("a" * 32, [1, 2]), ("b" * 32, None)):
        (tmp_path / digest / "files").mkdir(parents=True)
        (tmp_path / digest / "files" / "f.py").touch()
        made = Manifest(loader="python", file="f.py", kind="function", object="f", example=example)
        write(made, tmp_path / digest)
    names = {"one": "a" * 32, "none": "b" * 32, "gone": "c" * 32, "answered": "d" * 32}
    answered = Signature(input_type="doubles", has_example=True, example=[3])
    versions = [
        ModelVersion(
            model=name,
            version="1",
            input_type=InputType.DOUBLES,
            bundle=digest,
            signature=answered if name == "answered" else None,
        )
        for name, digest in names.items()
    ]
    registry = RegistryState(
        applications={
            name: Application(name=name, input_type=InputType.DOUBLES, slo_us=1) for name in names
        },
        versions={version.id: version for version in versions},
        current=dict.fromkeys(names, "1"),
        links={name: (name,) for name in names},
    )
    assert read_examples(registry, tmp_path) == {"one": [1, 2], "answered": [3]}

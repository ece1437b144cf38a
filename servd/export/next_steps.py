"""The commands that come after an export, with an input to try. Printed by cli/export_k8s.py."""

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from model_runtime import manifest as manifests
from model_runtime.bundle import BundleFormatError
from servd.datatypes import ModelVersion, RegistryState
from servd.export.plan import Plan
from servd.export.settings import Form, Shape


def next_steps(
    plan: Plan, path: Path, registry: RegistryState, examples: Mapping[str, Any]
) -> list[str]:
    """Return the commands that bring an export onto a cluster and ask it for a prediction.

    `examples` has an input by application, where its model's owner gave one.
    """
    where = f"--namespace {plan.settings.namespace}"
    if plan.settings.seldon:
        return _of_seldon(plan, path, where)
    port = 5000 if plan.settings.shape is Shape.STANDALONE else 1337
    workload = _asked(plan)
    service = plan.service
    return [
        _apply(plan, path),
        f"kubectl rollout status deployment/{workload} {where}",
        f"kubectl get pods {where}",
        f"kubectl describe service {service} {where}",
        f"kubectl port-forward service/{service} {port}:{port} {where}",
        *_curl(plan, registry, examples, port),
    ]


def _of_seldon(plan: Plan, path: Path, where: str) -> list[str]:
    """Return the commands after an export for Seldon Core, whose gateway is asked."""
    name = str(plan.objects[-1]["metadata"]["name"])
    url = f"http://INGRESS/seldon/{plan.settings.namespace}/{name}/api/v1.0/predictions"
    body = shlex.quote('{"data":{"ndarray":[[1.0]]}}')
    return [
        _apply(plan, path),
        f"kubectl wait sdep/{name} --for=condition=ready --timeout=300s {where}",
        f"kubectl get sdep {name} {where}",
        f"curl -H 'Content-Type: application/json' -d {body} {url}",
    ]


def read_examples(registry: RegistryState, bundles_dir: Path) -> dict[str, Any]:
    """Return an input that the model has answered, or its owner gave as an example, by application.

    Nothing for a model without one, and for a bundle that is not on this machine.
    """
    found: dict[str, Any] = {}
    for name in registry.applications:
        for version in _current_versions(name, registry):
            if version.signature is not None and version.signature.has_example:
                found[name] = version.signature.example
                continue
            with suppress(BundleFormatError, OSError):
                example = manifests.read(bundles_dir / str(version.bundle)).example
                if example is not None:
                    found[name] = example
    return found


def _asked(plan: Plan) -> str:
    """Return the Deployment that answers queries."""
    if plan.settings.shape is Shape.CLUSTER:
        return plan.service
    first = next(found for found in plan.objects if found["kind"] == "Deployment")
    return str(first["metadata"]["name"])


def _apply(plan: Plan, path: Path) -> str:
    if plan.settings.form is Form.HELM:
        release = _asked(plan) if plan.settings.shape is Shape.STANDALONE else "servd"
        where = f"--namespace {plan.settings.namespace} --create-namespace"
        return f"helm install {release} {shlex.quote(str(path))} {where}"
    flag = "-k" if plan.settings.form is Form.KUSTOMIZE else "-f"
    return f"kubectl apply {flag} {shlex.quote(str(path))}"


def _curl(plan: Plan, registry: RegistryState, examples: Mapping[str, Any], port: int) -> list[str]:
    # Without an example of its owner nobody knows what the model takes.
    known = [name for name in plan.applications if name in examples]
    if not known:
        return []
    name = next((name for name in known if _has_replicas(name, registry)), known[0])
    body = json.dumps({"input": examples[name]}, separators=(",", ":"))
    url = shlex.quote(f"http://127.0.0.1:{port}/{name}/predict")
    token = ' -H "Authorization: Bearer $SERVD_TOKEN"' if plan.options.token else ""
    return [f"curl{token} -d {shlex.quote(body)} {url}"]


def _has_replicas(name: str, registry: RegistryState) -> bool:
    return any(version.replicas for version in _current_versions(name, registry))


def _current_versions(name: str, registry: RegistryState) -> list[ModelVersion]:
    """Return the versions that answer for an application."""
    current = {(model, registry.current.get(model)) for model in registry.links.get(name, ())}
    return [version for version in registry.versions.values() if version.id in current]

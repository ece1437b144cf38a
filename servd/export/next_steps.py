"""The commands that come after an export. Pure; printed by cli/export_k8s.py."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servd.export.plan import Plan
from servd.export.settings import Form, Shape


def next_steps(
    plan: Plan, path: Path, registry: Mapping[str, Any], examples: Mapping[str, Any]
) -> list[str]:
    """Return the commands that bring an export onto a cluster and ask it for a prediction.

    `examples` has an input by application, where its model's owner gave one.
    """
    where = f"--namespace {plan.settings.namespace}"
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


def _curl(
    plan: Plan, registry: Mapping[str, Any], examples: Mapping[str, Any], port: int
) -> list[str]:
    # Without an example of its owner nobody knows what the model takes.
    known = [name for name in plan.applications if name in examples]
    if not known:
        return []
    name = next((name for name in known if _has_replicas(name, registry)), known[0])
    body = json.dumps({"input": examples[name]}, separators=(",", ":"))
    url = shlex.quote(f"http://127.0.0.1:{port}/{name}/predict")
    token = ' -H "Authorization: Bearer $SERVD_TOKEN"' if plan.options.token else ""
    return [f"curl{token} -d {shlex.quote(body)} {url}"]


def _has_replicas(name: str, registry: Mapping[str, Any]) -> bool:
    return any(version["replicas"] for version in current_versions(name, registry))


def current_versions(name: str, registry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the versions, as JSON has them, that answer for an application."""
    current = {(model, registry["current"].get(model)) for model in registry["links"].get(name, ())}
    return [raw for raw in registry["versions"] if (raw["model"], raw["version"]) in current]

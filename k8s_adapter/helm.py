"""Helm charts of both shapes. Used by the exports, which write the files.

A template is the very object that the other forms hold, in which some values stand as expressions:
so a chart that is rendered with its own values is what `kubectl apply` would have been given.
"""

import base64
import copy
import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from k8s_adapter import resources
from k8s_adapter.helm_schema import SERVICE_SUFFIX, cluster_schema, standalone_schema
from k8s_adapter.identity import Object
from k8s_adapter.keys import token_objects
from k8s_adapter.kube_version import OLDEST
from k8s_adapter.options import Options
from k8s_adapter.render import file_name, to_yaml
from k8s_adapter.standalone import (
    EXPECTED_BUNDLE,
    PORT,
    StandaloneApp,
    app_objects,
    pull_policy,
)
from k8s_adapter.variables import CHECKSUM, owner_of, variable_objects, variables_of

CHART_VERSION: Final = "0.1.0"

_NAMESPACE: Final = "{{ .Values.app.namespace | default .Release.Namespace }}"
# In YAML an expression stands as a text, and its own texts are in back quotes, which YAML leaves
# alone; those that give a number or an object lose their quotes.
_BARE: Final = re.compile(r"""(['"])(\{\{ (?:int|toJson) [^'"]*? \}\})\1""")


def standalone_chart(app: StandaloneApp, options: Options) -> dict[str, str]:
    """Return the files of a chart of the standalone shape, by path; see docs/kubernetes.md."""
    values = _standalone_values(app, options)
    deployment, service, autoscaler = _standalone_templates(app, options)
    in_place = dataclasses.replace(options, namespace=_NAMESPACE)
    secrets = {
        f"templates/{file_name(found)}": _template(found) for found in token_objects(in_place)
    }
    for found in variable_objects(_text("app.name"), app.version, in_place):
        found["data"] = _values_of(found["data"], ".Values.variables")
        secrets["templates/secret-variables.yaml"] = _template(found)
    return {
        "Chart.yaml": _chart_yaml(
            app.name, f"{app.application} in one image", app.version.version, options
        ),
        "values.yaml": to_yaml(values),
        "values.schema.json": standalone_schema(values),
        ".helmignore": _IGNORED,
        "templates/NOTES.txt": _STANDALONE_NOTES.replace("@APPLICATION@", _escape(app.application)),
        "templates/namespace.yaml": _namespace_template(),
        "templates/deployment.yaml": _template(deployment),
        "templates/service.yaml": _PORT_CHECK + _template(service),
        "templates/hpa.yaml": _template(autoscaler),
        **secrets,
    }


def cluster_chart(objects: Sequence[Object], options: Options, version: str) -> dict[str, str]:
    """Return the files of a chart of the cluster shape, by path.

    Its objects are in the release's namespace; so it has no Namespace, and `--create-namespace`
    makes it. Images, numbers of replicas and the Service's type are values.
    """
    values: dict[str, Any] = {"workloads": {}, "autoscaling": {}}
    values["imagePullSecrets"] = _pull_secrets(options)
    templates: dict[str, str] = {}
    for found in objects:
        if found["kind"] == "Namespace":
            continue
        marked = _escaped(found)
        del marked["metadata"]["namespace"]
        _move_values(found, marked, values, options)
        templates[f"templates/{file_name(found)}"] = _template(marked)
    return {
        "Chart.yaml": _chart_yaml("servd", "Query frontends and model replicas", version, options),
        "values.yaml": to_yaml(values),
        "values.schema.json": cluster_schema(values),
        ".helmignore": _IGNORED,
        "templates/NOTES.txt": _CLUSTER_NOTES,
        **dict(sorted(templates.items())),
    }


def _chart_yaml(name: str, description: str, app_version: str, options: Options) -> str:
    oldest = min(OLDEST, options.kube_version)
    return to_yaml(
        {
            "apiVersion": "v2",
            "name": name,
            "description": description,
            "type": "application",
            "version": CHART_VERSION,
            "appVersion": app_version,
            "kubeVersion": f">={oldest}.0-0",
        }
    )


def _standalone_values(app: StandaloneApp, options: Options) -> Object:
    deployment, service, autoscaler = app_objects(app, options)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    variables = variables_of(app.version, options)
    return {
        "app": {
            "name": app.name,
            "env": app.env,
            "namespace": options.namespace,
            "image": app.image,
        },
        "containerPort": PORT,
        "targetPort": PORT,
        "createNamespace": True,
        "service": {"type": service["spec"]["type"], "port": PORT},
        "autoscaling": {
            "minReplicas": autoscaler["spec"]["minReplicas"],
            "maxReplicas": autoscaler["spec"]["maxReplicas"],
            "cpuTarget": options.cpu_target,
        },
        "resources": container["resources"],
        "imagePullSecrets": _pull_secrets(options),
        **({"variables": dict(variables)} if variables else {}),
    }


def _standalone_templates(app: StandaloneApp, options: Options) -> list[Object]:
    """Return Deployment, Service and autoscaler with expressions in place of what is a value."""
    name = _text("app.name")
    marked = dataclasses.replace(
        app,
        name=name,
        image=_text("app.image"),
        env=_text("app.env"),
        service=f"{name}{SERVICE_SUFFIX}",
    )
    settled = dataclasses.replace(options, namespace=_NAMESPACE, service_type=_text("service.type"))
    deployment, service, autoscaler = app_objects(marked, settled)
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    annotations.update({key: _escape(text) for key, text in annotations.items()})
    _mark_checksum(annotations, ".Values.variables")
    pod = deployment["spec"]["template"]["spec"]
    pod["imagePullSecrets"] = "{{ toJson .Values.imagePullSecrets }}"
    (container,) = pod["containers"]
    container["ports"][0]["containerPort"] = _number("containerPort")
    container["imagePullPolicy"] = _pull_policy(app)
    for variable in container["env"]:
        if variable["name"] == EXPECTED_BUNDLE:
            # Of another image than the chart's own, which `--set` may name, nothing is known.
            variable["value"] = f"{{{{ {_is_own(app)} | ternary `{app.version.bundle}` `` }}}}"
    container["resources"] = "{{ toJson .Values.resources }}"
    service["spec"]["ports"][0]["port"] = _number("service.port")
    service["spec"]["ports"][0]["targetPort"] = _number("targetPort")
    _mark_autoscaler(autoscaler, ".Values.autoscaling")
    return [deployment, service, autoscaler]


def _is_own(app: StandaloneApp) -> str:
    return f"eq .Values.app.image `{app.image}`"


def _pull_policy(app: StandaloneApp) -> str:
    """Return as an expression what standalone.py has, for whichever image the values name."""
    may_move = "contains `/` .Values.app.image"
    if pull_policy(app) == "IfNotPresent":
        may_move = f"and (not ({_is_own(app)})) ({may_move})"
    return f"{{{{ {may_move} | ternary `Always` `IfNotPresent` }}}}"


def _namespace_template() -> str:
    """Return the Namespace: made where it is wanted and is not the one that the release is in."""
    wanted = ".Values.createNamespace (ne .Values.app.namespace .Release.Namespace)"
    text = _template(resources.namespace(_text("app.namespace")))
    return f"{{{{- if and .Values.app.namespace {wanted} }}}}\n{text}{{{{- end }}}}\n"


def _move_values(found: Object, marked: Object, values: dict[str, Any], options: Options) -> None:
    """Put an object's adjustable settings into the values, and expressions in their place."""
    name = found["metadata"]["name"]
    if found["kind"] == "Deployment":
        workload = values["workloads"][name] = {}
        where = f"index .Values.workloads `{name}`"
        annotations = marked["spec"]["template"]["metadata"].get("annotations", {})
        _mark_checksum(annotations, f"index .Values.variables `{name}`")
        (container,) = found["spec"]["template"]["spec"]["containers"]
        workload["image"] = container["image"]
        pod = marked["spec"]["template"]["spec"]
        pod["containers"][0]["image"] = f"{{{{ ({where}).image }}}}"
        pod["imagePullSecrets"] = "{{ toJson .Values.imagePullSecrets }}"
        if "replicas" in found["spec"]:
            workload["replicas"] = found["spec"]["replicas"]
            marked["spec"]["replicas"] = f"{{{{ int ({where}).replicas }}}}"
    elif found["kind"] == "Secret" and (owner := owner_of(name)):
        texts = {key: base64.b64decode(text).decode() for key, text in found["data"].items()}
        values.setdefault("variables", {})[owner] = texts
        marked["data"] = _values_of(texts, f"index .Values.variables `{owner}`")
    elif found["kind"] == "HorizontalPodAutoscaler":
        spec = found["spec"]
        values["autoscaling"][name] = {
            "minReplicas": spec["minReplicas"],
            "maxReplicas": spec["maxReplicas"],
            "cpuTarget": options.cpu_target,
        }
        _mark_autoscaler(marked, f"(index .Values.autoscaling `{name}`)")
    elif found["kind"] == "Service" and found["spec"].get("clusterIP") != "None":
        values["service"] = {"type": found["spec"]["type"]}
        marked["spec"]["type"] = _text("service.type")


def _values_of(names: Iterable[str], where: str) -> dict[str, str]:
    """Return a Secret's data that is in the values: a number that was set there is a text too."""
    return {name: f"{{{{ ({where}).{name} | toString | b64enc }}}}" for name in names}


def _mark_checksum(annotations: dict[str, str], where: str) -> None:
    if CHECKSUM in annotations:
        annotations[CHECKSUM] = f"{{{{ {where} | toJson | sha256sum }}}}"


def _mark_autoscaler(marked: Object, where: str) -> None:
    spec = marked["spec"]
    spec["minReplicas"] = f"{{{{ int {where}.minReplicas }}}}"
    spec["maxReplicas"] = f"{{{{ int {where}.maxReplicas }}}}"
    cpu_target = f"{{{{ int {where}.cpuTarget }}}}"
    if "metrics" in spec:
        spec["metrics"][0]["resource"]["target"]["averageUtilization"] = cpu_target
    else:
        spec["targetCPUUtilizationPercentage"] = cpu_target


def _pull_secrets(options: Options) -> list[dict[str, str]]:
    return [{"name": options.image_pull_secret}] if options.image_pull_secret else []


def _text(value: str) -> str:
    return f"{{{{ .Values.{value} }}}}"


def _number(value: str) -> str:
    return f"{{{{ int .Values.{value} }}}}"


def _template(marked: Object) -> str:
    return _BARE.sub(r"\2", to_yaml(marked))


def _escape(text: str) -> str:
    """Return a text that a template renders as it was; back quotes mean nothing to YAML."""
    return text.replace("{{", "{{ `{{` }}")


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, dict):
        return {_escape(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return copy.copy(value)


_IGNORED: Final = ".git/\n.servd-export\n*.swp\n*~\n"

_PORT_CHECK: Final = """\
{{- if ne (int .Values.containerPort) (int .Values.targetPort) }}
{{- fail (printf "targetPort %d is not containerPort %d: nothing listens there" \
(int .Values.targetPort) (int .Values.containerPort)) }}
{{- end }}
"""

_STANDALONE_NOTES: Final = """\
{{- $namespace := .Values.app.namespace | default .Release.Namespace -}}
{{ .Values.app.name }} is being started in the namespace {{ $namespace }}.

  kubectl rollout status deployment/{{ .Values.app.name }} --namespace {{ $namespace }}
  kubectl get pods --namespace {{ $namespace }}
  kubectl describe service {{ .Values.app.name }}-lb --namespace {{ $namespace }}

Ask it from this machine; INPUT is one of its inputs, in JSON:

  kubectl port-forward service/{{ .Values.app.name }}-lb 5000:{{ .Values.service.port }} \
--namespace {{ $namespace }}
  curl -d '{"input": INPUT}' http://127.0.0.1:5000/@APPLICATION@/predict
"""

_CLUSTER_NOTES: Final = """\
The applications are being started in the namespace {{ .Release.Namespace }}.

  kubectl get pods --namespace {{ .Release.Namespace }}
  kubectl rollout status deployment/query-frontend --namespace {{ .Release.Namespace }}
  kubectl describe service query-frontend --namespace {{ .Release.Namespace }}

Ask one from this machine; INPUT is one of its inputs, in JSON:

  kubectl port-forward service/query-frontend 1337:1337 --namespace {{ .Release.Namespace }}
  curl -d '{"input": INPUT}' http://127.0.0.1:1337/APPLICATION/predict
"""

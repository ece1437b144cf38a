"""Kubernetes' own schemas, with which `--check` looks at each object. Used by cli/export_k8s_body.

They come with kubernetes-validate, an extra. Its `validate` reads a megabyte of definitions anew
for each object and tells one fault; here they are read once, and all faults are told.
"""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from k8s_adapter.identity import Object
from k8s_adapter.kube_version import KubeVersion
from k8s_adapter.resources import SELDON_API
from k8s_adapter.rules import FORMATS, SINCE, strengthened
from servd.export.errors import NoSchemasError

if TYPE_CHECKING:
    from jsonschema import ValidationError


class Schemas:
    """The schemas of one release; of one before the oldest that is there, the oldest."""

    def __init__(self, version: KubeVersion) -> None:
        """Read them.

        Raises:
            NoSchemasError: the package is not installed.
        """
        try:
            import jsonschema  # noqa: PLC0415 - comes with an extra
            from kubernetes_validate import utils  # noqa: PLC0415
        except ImportError as error:
            raise NoSchemasError(error.name) from error
        releases = utils.all_versions()
        release = next((r for r in reversed(releases) if _minor(r) <= version), releases[0])
        folder = f"kubernetes-json-schema/v{release}-local-strict"
        self._version = version
        document = utils.schema_contents(f"{folder}/_definitions.json", release)
        self._definitions = strengthened(document["$defs"], version)
        self._validator = jsonschema.Draft202012Validator
        self._formats = jsonschema.FormatChecker(())
        for name in FORMATS:
            self._formats.checks(name, ValueError)(functools.partial(_has_format, name))
        self._kinds = _kinds_of(self._definitions)

    def __call__(self, body: Object) -> Iterator[tuple[str, str]]:
        """Yield the path of each wrong field of an object, and what is wrong with it."""
        kind, given = str(body.get("kind")), str(body.get("apiVersion"))
        if given == SELDON_API:
            # A kind that Seldon Core brings: of it Kubernetes knows the pods.
            yield from self._of_pods(body)
            return
        served = self._kinds.get(kind)
        if served is None:
            yield "kind", f"'{kind}' is not a kind of Kubernetes {self._version}"
        elif given not in served:
            has = " and ".join(served)
            said = f"Kubernetes {self._version} has no {kind} of '{given}'; it has {has}"
            yield "apiVersion", said
        else:
            schema = {"$ref": f"#/$defs/{served[given]}", "$defs": self._definitions}
            validator = self._validator(schema, format_checker=self._formats)
            faults: dict[str, str] = {}
            for error in validator.iter_errors(body):
                for parts, said in self._told(error, kind):
                    # A value of the wrong type is told as that alone, which comes first.
                    faults.setdefault(_path([*error.absolute_path, *parts]), said)
            yield from faults.items()

    def _of_pods(self, body: Object) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the pods of a SeldonDeployment."""
        for at, predictor in enumerate(body.get("spec", {}).get("predictors", [])):
            for number, component in enumerate(predictor.get("componentSpecs", [])):
                meta = {"name": "pod"}
                pod = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": meta,
                    "spec": component["spec"],
                }
                where = f"spec.predictors[{at}].componentSpecs[{number}]"
                yield from ((f"{where}.{path}", said) for path, said in self(pod))

    def _told(self, error: "ValidationError", kind: str) -> Iterator[tuple[list[Any], str]]:
        """Yield the faults that are one error: where below its place, and what is said of each."""
        value, wanted = error.instance, error.validator_value
        match error.validator:
            case "additionalProperties":
                for field in [one for one in value if one not in error.schema["properties"]]:
                    since = SINCE.get(field, self._version)
                    is_younger = since > self._version
                    said = f"exists from Kubernetes {since} on, not in {self._version}"
                    yield [field], said if is_younger else f"{kind} has no such field"
            case "required":
                yield from (([field], "is missing") for field in wanted if field not in value)
            case "format":
                is_key = "propertyNames" in error.absolute_schema_path
                yield [value] if is_key else [], FORMATS[wanted][1].format(value)
            case "oneOf":
                types = " or ".join(repr(name) for one in wanted for name in one.get("type", ()))
                yield [], f"{value!r} is not of type {types}"
            case _:
                yield [], error.message


def _has_format(name: str, value: Any) -> bool:
    """Return whether a text has a format; of what is none, its type is told."""
    return not isinstance(value, str) or FORMATS[name][0](value) is not False


def _minor(release: str) -> KubeVersion:
    major, minor, *_ = release.split(".")
    return KubeVersion(int(major), int(minor))


def _kinds_of(definitions: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return by kind and API version the name of the definition."""
    kinds: dict[str, dict[str, str]] = {}
    for name, definition in definitions.items():
        fields = definition.get("properties", {})
        for kind in fields.get("kind", {}).get("enum", ()):
            served = fields.get("apiVersion", {}).get("enum", ())
            kinds.setdefault(kind, {}).update(dict.fromkeys(served, name))
    return kinds


def _path(parts: list[Any]) -> str:
    """Return a path such as spec.ports[0].name."""
    joined = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return joined.removeprefix(".")

"""What a caller of `deploy` gives, in the words of a bundle and of a deployment request.

Used by the clients. Times are given in milliseconds, sizes as numbers or as in "2g".
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

from servd.client.calls import Call, add_route, create_application
from servd.client.deployment import run_settings
from servd.client.queries import plain
from servd.client.report import OnEvent
from servd.datatypes import ADAPTIVE_BATCH, InputType, Variables
from servd.errors import InvalidValueError
from servd.packing.bundling import BundleOptions
from servd.packing.choice import options_of
from servd.packing.columns import schema_of_columns, schema_of_file
from servd.packing.parameters import read_parameters
from servd.quantities import parse_size
from servd.registry.variables import check_variables, read_variables

UNSET: Final[Any] = type("Unset", (), {"__repr__": lambda _self: "UNSET"})()
"""Stands for an argument that was not given, where None is a value."""

_USUAL_SLO_MS: Final = 100.0
_OF_TYPES: Final = {int: "int", float: "float", bool: "bool", str: "str", bytes: "any"}


class DeployOptions(TypedDict, total=False):
    """The options of `Client.deploy`, for who hands them on."""

    name: str | None
    version: str | int | None
    app: str | Literal[False] | None
    input_type: str | None
    columns: Any
    schema: Any
    example: Any
    extra_columns: str | None
    output: str | None
    concurrency: int | None
    default: Any
    slo_ms: float | None
    cache: bool
    replicas: int | None
    max_batch: int | None
    batching: str
    batch_wait_ms: float
    method: str | None
    skip_test: bool
    include: Any
    parameters: Any
    loader: str | None
    trust: Any
    architecture: str | None
    task: str | None
    env: str | None
    requirements: str | Path | None
    python: str | None
    runtime: str | None
    image: str | None
    memory: str | int | None
    cpus: float | None
    gpus: str | int | None
    device: str | None
    threads: int | None
    env_vars: Any
    labels: Any
    wait: bool
    on_event: OnEvent | None


def bundle_options(given: Mapping[str, Any], load_timeout_s: float) -> BundleOptions:
    """Return what the arguments say of what is in a bundle.

    Raises:
        ServdError: one is wrong.
    """
    example = given["example"]
    return BundleOptions(
        input_type=_input_type(given["input_type"]),
        method=given["method"],
        example=None if example is UNSET else plain(example),
        skip_test=given["skip_test"],
        include=_texts(given["include"], "include"),
        schema=_schema(given["columns"], given["schema"]),
        extra=_one_of(given["extra_columns"], "extra_columns", ("refuse", "ignore")),
        output=_one_of(given["output"], "output", ("labels", "proba", "both")),
        concurrency=given["concurrency"],
        parameters=_parameters(given.get("parameters")),
        load_timeout_s=load_timeout_s,
        variables=_variables(given.get("env_vars", ())),
        loader=given.get("loader"),
        trust=_texts(given.get("trust") or (), "trust"),
        architecture=given.get("architecture"),
        task=given.get("task"),
        environment=options_of(
            given.get("env"), given.get("requirements"), given.get("python"), os.environ
        ),
    )


def _parameters(given: Any) -> dict[str, Any]:
    """Return what a class is made with: a dict, or texts as the command line has them."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): plain(value) for name, value in given.items()}
    return read_parameters(_texts(given, "parameters"))


def request_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a deployment request that says how a version is served.

    Raises:
        ServdError: an argument is wrong.
    """
    memory = given["memory"]
    contained = {
        "image": given["image"],
        "memory_bytes": None if memory is None else _size(memory),
        "cpus": given["cpus"],
        "gpus": None if given["gpus"] is None else str(given["gpus"]),
        "device": given["device"],
        "threads": given["threads"],
        "env_vars": _variables(given["env_vars"]) or None,
    }
    settings = run_settings(contained, given["runtime"]) | {
        "max_batch": given["max_batch"] or ADAPTIVE_BATCH,
        "batching": given["batching"],
        "batch_wait_us": round(given["batch_wait_ms"] * 1000),
        "replicas": given["replicas"],
        "default_output": default_output(given["default"]),
        "slo_us": slo_us(given["slo_ms"]),
        "labels": list(_texts(given["labels"], "labels")),
        "is_cached": bool(given["cache"]),
    }
    if settings["is_cached"]:
        del settings["is_cached"]
    return settings


def _variables(given: Any) -> Variables:
    """Return variables of a mapping, whose None is the caller's own, or of texts NAME[=VALUE]."""
    if not isinstance(given, Mapping):
        return read_variables(_texts(given, "env_vars"), os.environ)
    found = Variables({str(name): str(value) for name, value in given.items()})
    check_variables(found)
    own = [str(name) for name, value in given.items() if value is None]
    return Variables(found | read_variables(own, os.environ))


def new_application(name: str, input_type: str, default: Any, slo_ms: float | None) -> Call:
    """Return the call that makes an application; without an objective it gets 100 ms.

    Raises:
        InvalidValueError: the objective is none.
    """
    return create_application(
        name,
        input_type=input_type,
        default_output=default_output(default),
        slo_us=slo_us(_USUAL_SLO_MS if slo_ms is None else slo_ms) or 0,
    )


def new_route(
    route: str, app: str, takes: str | None, gives: str | None, *, is_batch: bool
) -> Call:
    """Return the call that has an application answer at "METHOD /path".

    Raises:
        InvalidValueError: it is none such.
    """
    method, path = method_and_path(route)
    given = {"takes": takes, "gives": gives, "is_batch": is_batch}
    return add_route({"method": method, "path": path, "app": app, **given})


def method_and_path(route: str) -> tuple[str, str]:
    """Return the method and the path of "METHOD /path".

    Raises:
        InvalidValueError: it is none such.
    """
    method, _, path = route.strip().partition(" ")
    if not path.strip().startswith("/"):
        raise InvalidValueError(f"'{route}' is not a route", hint="for example 'POST /score'")
    return method.upper(), path.strip()


def default_output(value: Any) -> str | None:
    """Return a default output as it is registered: a text stays one, others are JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(plain(value))


def slo_us(slo_ms: float | None) -> int | None:
    """Return an objective in microseconds.

    Raises:
        InvalidValueError: it is none.
    """
    if slo_ms is None:
        return None
    if not slo_ms > 0:
        raise InvalidValueError(f"slo_ms must be above zero, not {slo_ms:g}")
    return max(1, round(slo_ms * 1000))


def _size(given: str | int) -> int:
    try:
        return parse_size(given)
    except ValueError as error:
        raise InvalidValueError(f"memory: {error}") from error


def _input_type(given: str | None) -> str | None:
    return None if given is None else InputType.parse(given).value


def _schema(columns: Any, schema: Any) -> dict[str, Any] | None:
    if columns is not None and schema is not None:
        raise InvalidValueError("columns and schema say the same: give one of them")
    if columns is None:
        return schema_of_file(Path(schema)) if isinstance(schema, (str, Path)) else schema
    if isinstance(columns, str):
        return schema_of_columns(columns)
    if not isinstance(columns, Mapping):
        raise InvalidValueError(
            f"columns are a text such as 'age:int,city:str', or a dict, not {columns!r:.60}"
        )
    return schema_of_columns(",".join(f"{name}:{_word(of)}" for name, of in columns.items()))


def _word(of: Any) -> str:
    return _OF_TYPES.get(of, of.__name__) if isinstance(of, type) else str(of)


def _texts(given: Any, what: str) -> tuple[str, ...]:
    listed = (given,) if isinstance(given, (str, Path)) else given
    if not isinstance(listed, Sequence):
        raise InvalidValueError(f"{what} is a list of texts, not {given!r:.60}")
    return tuple(map(str, listed))


def _one_of(given: str | None, what: str, words: Sequence[str]) -> str | None:
    if given is not None and given not in words:
        raise InvalidValueError(f"{what} is one of {', '.join(words)}, not {given!r:.60}")
    return given

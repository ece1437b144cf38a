"""What a standalone image answers, chosen from a registry's state."""

import msgspec
import pytest

from servd.datatypes import (
    Application,
    InputType,
    ModelVersion,
    RegistryState,
    RouteRule,
)
from servd.imaging.answers import applications_of, routes_of
from servd.imaging.context import applications_json
from servd.registry.snapshot import Registered, unpack_state
from tests.image_specs import make_bundle, spec_of, version_in

VERSION = ModelVersion(model="iris", version="1", input_type=InputType.DOUBLES)


def _app(name, input_type=InputType.DOUBLES):
    return Application(name=name, input_type=input_type, slo_us=1)


def _state(*names, default=None, routes=(), **more):
    apps = {name: _app(name) for name in names} | more
    return RegistryState(
        applications=apps,
        links=dict.fromkeys(apps, ("iris",)),
        default_app=default,
        routes={rule.name: rule for rule in routes},
    )


@pytest.mark.parametrize(
    ("default", "wanted", "expected"),
    [
        (None, (), ["iris", "a", "z"]),
        ("z", (), ["z", "iris", "a"]),
        ("z", ("a", "iris"), ["iris", "a"]),
        ("gone", (), ["iris", "a", "z"]),
    ],
    ids=["none", "chosen", "chosen-left-out", "of-another-model"],
)
def test_the_default_application_is_the_first(default, wanted, expected):
    """It answers at paths without a name; else the one that is called like the model does."""
    state = _state("a", "iris", "z", default=default, other=_app("other", InputType.STRINGS))
    assert [app.name for app in applications_of(state, VERSION, wanted)] == expected


@pytest.mark.parametrize(("model", "name"), [("iris", "iris"), ("admin", "admin-app")])
def test_a_model_without_an_application_gets_one(model, name):
    """Called like it, where an application may be called so."""
    version = msgspec.structs.replace(VERSION, model=model)
    (app,) = applications_of(RegistryState(), version)
    assert (app.name, app.input_type) == (name, InputType.DOUBLES)


def test_routes_of_other_applications_stay_out():
    """And those that come along are in one order, so that equal registries give equal images."""
    rules = [
        RouteRule(method="POST", path=path, app=app)
        for path, app in (("/z", "a"), ("/b", "b"), ("/a", "a"))
    ]
    state = _state("a", "b", routes=rules)
    assert [rule.path for rule in routes_of(state, (_app("a"),))] == ["/a", "/z"]


def test_what_an_image_is_told_is_what_the_registry_holds_of_it(tmp_path):
    """Every field of a version that is not of another place: those of web applications, too."""
    bundle = make_bundle(tmp_path / "b")
    elsewhere = {
        "created_s": 5.0,
        "runtime": "docker",
        "image": "x",
        "image_digest": "y",
        "gpus": "all",
        "memory_bytes": 1,
        "cpus": 1.0,
        "container_name": "c",
        "model_data_path": "p",
    }
    version = msgspec.structs.replace(
        version_in(bundle), web="asgi", max_batch=7, is_cached=False, labels=("l",), **elsewhere
    )
    rule = RouteRule(method="POST", path="/score", app="iris", takes="X")
    text = applications_json(
        spec_of("standalone", bundle, version=version, applications=(_app("iris"),), routes=(rule,))
    )
    state = unpack_state(msgspec.json.decode(text, type=Registered))
    assert state.default_app == "iris"
    assert state.routes == {rule.name: rule}
    inside = state.versions[version.id]
    usual = ModelVersion(model="m", version="1", input_type=InputType.ANY)
    for name in version.__struct_fields__:
        expected = usual if name in elsewhere else version
        assert name == "replicas" or getattr(inside, name) == getattr(expected, name), name

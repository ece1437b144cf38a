"""The rules of further paths of applications."""

import pytest

from model_runtime.signature import Signature
from servd.datatypes import RegistryState, RouteRule
from servd.errors import (
    ApplicationNotFoundError,
    ConflictError,
    InvalidValueError,
    NotFoundError,
    ServdError,
)
from servd.registry import routes, rules
from tests.registered import app, version

NAMED = Signature(input_type="rows", fields={"x": {"type": "number"}}, required=("x",))
NAMELESS = Signature(input_type="doubles", value={"type": "array"})


def rule(method="POST", path="/score", to="a", **more):
    """Return a route."""
    return RouteRule(method=method, path=path, app=to, **more)


def state_with(*known, signature=None, names=("a",)):
    """Return the state of applications that a model answers, with these routes."""
    one = version(signature=signature)
    return RegistryState(
        applications={name: app(name) for name in names},
        versions={one.id: one},
        current={"m": "1"},
        links={"a": ("m",)},
        routes={each.name: each for each in known},
    )


@pytest.mark.parametrize(
    "wanted",
    [
        rule(),
        rule(path="/predict"),
        rule(path="/iris/v3:score"),
        rule("GET", "/predict"),
        rule(takes="X", gives="score", is_batch=True),
    ],
)
def test_what_is_a_route(wanted):
    """Any path that nothing else has, with the keys of bodies."""
    routes.check_route(state_with(), wanted)


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (rule("PUT"), InvalidValueError, "'PUT' is not a method of routes"),
        (rule(path="score"), InvalidValueError, "'score' is not a path of a route"),
        (rule(path="/"), InvalidValueError, "is not a path"),
        (rule(path="/a//b"), InvalidValueError, "is not a path"),
        (rule(path="/b/../metrics"), InvalidValueError, "is not a path"),
        (rule(path="/b/{id}"), InvalidValueError, "is not a path"),
        (rule(path="/b?x=1"), InvalidValueError, "is not a path"),
        (rule(path="/caf%C3%A9"), InvalidValueError, "is not a path"),
        (rule(path="/" + "x" * 200), InvalidValueError, "is not a path"),
        (rule(path="/b/"), InvalidValueError, "is not a path"),
        (rule(takes=""), InvalidValueError, "a key of a body has 1 to 200 characters"),
        (rule(gives="x" * 201), InvalidValueError, "a key of a body"),
        (rule(to="b"), ApplicationNotFoundError, "'b' does not exist"),
        (rule(path="/metrics"), ConflictError, "/metrics is servd's own"),
        (rule(path="/v2/models"), ConflictError, "/v2/… is servd's own, or of another protocol"),
        (rule(path="/a/score"), ConflictError, "would hide what the application a has below /a"),
        (rule("GET", takes="X"), InvalidValueError, "--in is for POST"),
    ],
)
def test_what_is_none(wanted, error, words):
    """Each is refused in words that say what is wrong."""
    with pytest.raises(error, match=words):
        routes.check_route(state_with(), wanted)


def test_a_query_string_needs_names():
    """Where it is known that inputs have none, a GET is refused; unknown is not known."""
    wanted = rule("GET")
    routes.check_route(state_with(signature=NAMED), wanted)
    routes.check_route(state_with(), wanted)
    with pytest.raises(InvalidValueError, match="the inputs of a have no names") as refused:
        routes.check_route(state_with(signature=NAMELESS), wanted)
    assert refused.value.hint == "'POST /score' --in NAME, or deploy with --columns"


def test_a_route_does_not_lead_to_a_web_application():
    """It takes no inputs; neither is one added to it, nor does it become what one leads to."""
    web = version("2", web="asgi")
    state = rules.with_current(rules.with_version(state_with(), web), web)
    with pytest.raises(ConflictError, match="a is a web application, which has paths of its own"):
        routes.check_route(state, rule())
    rules.check_linked_type(state_with(), web)
    with pytest.raises(ConflictError, match="m:2 is a web application, which cannot answer") as bad:
        rules.check_linked_type(state_with(rule()), web)
    assert bad.value.hint == "servd route rm 'POST /score' first, or take another name"
    rules.check_linked_type(state_with(rule()), version("2"))


def test_a_place_is_given_once():
    """The same again is no change; another at its place names the one that is there."""
    state = state_with(rule(takes="X"), names=("a", "b"))
    routes.check_route(state, rule(takes="X"))
    routes.check_route(state, rule("GET"))
    with pytest.raises(ConflictError, match="POST /score is a route to a already") as refused:
        routes.check_route(state, rule(to="b"))
    assert refused.value.hint == "servd route rm 'POST /score' first"


def test_an_application_does_not_come_to_lie_where_a_route_is():
    """By whatever way it is made; others may come."""
    state = state_with(rule(path="/score/v1"))
    for check in (
        lambda name: routes.check_not_routed(state, name),
        lambda name: rules.check_new_names(state, version("2"), app(name)),
    ):
        check("scores")
        with pytest.raises(ServdError, match="where the route POST /score/v1 to a is"):
            check("score")


def test_what_is_removed_has_to_be_there():
    """What there is instead is told."""
    state = state_with(rule())
    assert routes.find_route(state, "POST", "/score") == rule()
    with pytest.raises(NotFoundError, match="no route 'GET /score'") as refused:
        routes.find_route(state, "GET", "/score")
    assert refused.value.hint == "there are: 'POST /score'"
    with pytest.raises(NotFoundError) as refused:
        routes.find_route(RegistryState(), "GET", "/score")
    assert refused.value.hint == "there are no routes"


def test_the_routes_of_an_application_go_with_it():
    """Those to others stay."""
    state = routes.with_route(state_with(rule(), names=("a", "b")), rule("GET", to="b"))
    assert list(routes.without_routes(state.routes, "a")) == ["GET /score"]

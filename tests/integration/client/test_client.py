"""`servd.Client` against a real daemon, from a path to its predictions."""

import pytest

from servd.client.failures import InvalidInputError, UnknownApplicationError


@pytest.fixture(scope="module")
def doubled(client, tmp_path_factory):
    """Return what deploying a file came to; its application is `doubled`."""
    file = tmp_path_factory.mktemp("models") / "file.py"
    file.write_text("def doubled(xs):\n    return [float(sum(x) * 2) for x in xs]\n")
    return client.deploy(file, input_type="doubles", default=-1.0, slo_ms=5000)


def test_a_path_is_deployed_and_answers(client, doubled):
    """The deployment says what it made, and a prediction what it is."""
    assert (doubled.model, doubled.version, doubled.app) == ("doubled", "1", "doubled")
    assert doubled.state == "live"
    assert doubled.replicas[0].test["state"] == "ok"
    first = client.predict("doubled", [1.5, 2.0])
    assert (first.output, first.is_default, first.is_cached) == (7.0, False, False)
    again = client.predict("doubled", [1.5, 2.0])
    assert (again.output, again.is_cached) == (7.0, True)
    assert again.query_id > first.query_id


def test_several_are_answered_in_their_order(client, doubled):  # noqa: ARG001
    """Also one, which the daemon answers in another form, and none."""
    assert [each.output for each in client.predict_batch("doubled", [[1], [2, 3]])] == [2.0, 10.0]
    assert [each.output for each in client.predict_batch("doubled", [[4]])] == [8.0]
    assert client.predict_batch("doubled", []) == []


def test_what_is_there_is_listed(client, doubled):  # noqa: ARG001
    """Applications, models, versions, replicas and the daemon are values with fields."""
    [app] = client.apps()
    assert (app.name, app.default_output, app.slo_ms) == ("doubled", "-1.0", 5000)
    assert client.app("doubled") == app
    [version] = client.versions("doubled")
    assert (version.version, version.is_current, version.input_type) == ("1", True, "doubles")
    assert [(each.model, each.state) for each in client.replicas()] == [("doubled", "ready")]
    assert client.status().query_url == f"http://{client.query_address}"


def test_errors_have_their_classes(client, doubled):  # noqa: ARG001
    """With the status of the answer."""
    with pytest.raises(InvalidInputError) as told:
        client.predict("doubled", "a text")
    assert told.value.status == 400
    with pytest.raises(UnknownApplicationError, match="no-such-one"):
        client.predict("no-such-one", 1)


def test_what_happens_is_told_as_it_happens(client, doubled):  # noqa: ARG001
    """From the first event on nothing is missed; an application, its link, a replica."""
    events = client.events()
    assert next(events).event == "listening"
    client.create_app("watched", input_type="doubles")
    client.link("watched", "doubled")
    client.scale("doubled", 2)
    client.delete_app("watched")
    heard = []
    for each in events:
        heard.append(each)
        if (each.event, each.app) == ("app_removed", "watched"):
            break
    events.close()
    told = [(each.event, each.app or each.model) for each in heard]
    assert told[:2] == [("app_added", "watched"), ("linked", "watched")]
    assert ("version_changed", "doubled") in told
    states = {each.state for each in heard if each.event == "replica" and each.replica == 1}
    assert "ready" in states
    assert all(each.at_s > 0 for each in heard)


def test_routes_and_the_default_application(client, doubled):  # noqa: ARG001
    """Are made, listed and removed."""
    made = client.add_route("POST /score", "doubled", takes="x", gives="y")
    assert (made.method, made.path, made.app, made.takes) == ("POST", "/score", "doubled", "x")
    assert client.routes() == [made]
    client.delete_route("post /score")
    assert client.routes() == []
    client.set_default_app("doubled")
    client.set_default_app(None)

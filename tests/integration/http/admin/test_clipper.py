"""Clipper's management API, word for word."""

import json
from functools import partial

from servd.datatypes import ReplicaState, ReplicaStatus

APP = {
    "name": "a",
    "input_type": "d",
    "default_output": "-1.0",
    "latency_slo_micros": 100_000,
}
MODEL = {
    "model_name": "m",
    "model_version": "1",
    "labels": ["x"],
    "input_type": "double",
    "container_name": "NO_CONTAINER",
    "model_data_path": "DEPRECATED",
    "batch_size": -1,
}
LINK = {"app_name": "a", "model_names": ["m"]}


def talk(run, *exchanges):
    """Send calls in turn; each must answer its status and text (or JSON value)."""

    async def steps(parts):
        for call, body, status, wanted in exchanges:
            found = await parts.clipper(call, **body)
            text = wanted if isinstance(wanted, str) else json.dumps(wanted)
            if isinstance(wanted, str):
                assert found == (status, text), call
            else:
                assert (found[0], json.loads(found[1])) == (status, wanted), call

    run(steps)


def test_applications(scenario, tmp_path):
    """Applications are added once, shown in canonical words, and deleted for good."""
    shown = {
        "input_type": "doubles",
        "default_output": "-1.0",
        "latency_slo_micros": 100_000,
        "name": "a",
        "linked_models": [],
    }
    talk(
        partial(scenario, tmp_path),
        ("get_all_applications", {"verbose": False}, 200, []),
        ("add_app", APP, 200, "Successfully added application with name 'a'"),
        ("add_app", APP, 400, "application 'a' already exists"),
        ("get_application", {"name": "a"}, 200, shown),
        ("get_application", {"name": "b"}, 200, {}),
        ("get_all_applications", {"verbose": False}, 200, ["a"]),
        ("get_all_applications", {"verbose": True}, 200, [shown]),
        ("get_state", {"app_name": "a", "uid": 7}, 200, "-1.0"),
        ("delete_app", {"name": "a"}, 200, "Successfully deleted application with name 'a'"),
        ("delete_app", {"name": "a"}, 400, "Application 'a' does not exist"),
        ("get_state", {"app_name": "a", "uid": 7}, 400, "No application with name 'a' exists."),
    )


def test_models(scenario, tmp_path):
    """Versions are added, listed with the current one marked, chosen and deleted."""
    two = {**MODEL, "model_version": "2", "labels": []}
    first = {
        "model_name": "m",
        "model_version": "1",
        "input_type": "doubles",
        "labels": ["x"],
        "container_name": "NO_CONTAINER",
        "model_data_path": "DEPRECATED",
        "is_current_version": False,
    }
    second = {**first, "model_version": "2", "labels": [], "is_current_version": True}
    v1 = {"model_name": "m", "model_version": "1"}
    talk(
        partial(scenario, tmp_path),
        (
            "add_model",
            MODEL,
            200,
            "Successfully added model with name 'm' and input type 'doubles'",
        ),
        ("add_model", two, 200, "Successfully added model with name 'm' and input type 'doubles'"),
        ("add_model", two, 400, "model with name 'm' and version '2' already exists"),
        ("get_all_models", {"verbose": False}, 200, ["m:1", "m:2"]),
        ("get_all_models", {"verbose": True}, 200, [first, second]),
        ("get_model", v1, 200, first),
        ("get_model", {**v1, "model_version": "3"}, 200, {}),
        ("set_model_version", v1, 200, "Successfully set model with name 'm' to version '1'"),
        ("get_model", v1, 200, {**first, "is_current_version": True}),
        (
            "set_model_version",
            {**v1, "model_version": "3"},
            400,
            "Cannot set non-existent version '3' for model with name 'm'",
        ),
        (
            "set_model_version",
            {**v1, "model_name": "n"},
            400,
            "Cannot set version for nonexistent model 'n'",
        ),
        (
            "delete_versioned_model",
            v1,
            200,
            "Successfully deleted model with name 'm' and version '1'",
        ),
        (
            "delete_versioned_model",
            v1,
            400,
            "model with name 'm' and version '1' does not exist",
        ),
    )


def test_links(scenario, tmp_path):
    """Links are made and removed by Clipper's rules, checked in its order."""
    talk(
        partial(scenario, tmp_path),
        ("add_model_links", LINK, 400, "No app with name 'a' exists."),
        ("delete_model_links", LINK, 400, "No app with name a exists."),
        ("get_linked_models", {"app_name": "a"}, 400, "No application with name 'a' exists."),
        ("add_app", APP, 200, "Successfully added application with name 'a'"),
        ("add_model_links", LINK, 400, "No model with name 'm' exists."),
        (
            "add_model",
            MODEL,
            200,
            "Successfully added model with name 'm' and input type 'doubles'",
        ),
        (
            "add_model_links",
            {**LINK, "model_names": []},
            400,
            "Please provide the name of the model that you want to link to the application 'a'",
        ),
        (
            "add_model_links",
            {**LINK, "model_names": ["m", "m"]},
            400,
            (
                "Applications must be linked with at most one model. "
                "Attempted to add links to 2 models."
            ),
        ),
        (
            "delete_model_links",
            LINK,
            400,
            "Cannot remove nonexistent link between app a and model m",
        ),
        (
            "add_model_links",
            LINK,
            200,
            "Successfully linked model with name 'm' to application 'a'",
        ),
        ("add_model_links", LINK, 400, "The model with name 'm' is already linked to 'a'"),
        ("get_linked_models", {"app_name": "a"}, 200, ["m"]),
        (
            "add_model",
            {**MODEL, "model_version": "2", "input_type": "s"},
            400,
            (
                "Model with name 'm' is already linked to app 'a' using input type 'doubles'. The "
                "input type you provided for a new version of the model, 'strings', "
                "is not compatible."
            ),
        ),
        ("delete_model_links", LINK, 200, "Success!"),
        ("get_linked_models", {"app_name": "a"}, 200, []),
        (
            "add_model_links",
            LINK,
            200,
            "Successfully linked model with name 'm' to application 'a'",
        ),
        ("delete_app", {"name": "a"}, 200, "Successfully deleted application with name 'a'"),
        ("add_app", APP, 200, "Successfully added application with name 'a'"),
        ("get_linked_models", {"app_name": "a"}, 200, []),
    )


def test_model_values(scenario, tmp_path):
    """Bad batch sizes, names and types are answered; batch_size may be missing."""
    without = {key: value for key, value in MODEL.items() if key != "batch_size"}
    separators = "Contains one of: ',', ':'"
    talk(
        partial(scenario, tmp_path),
        (
            "add_model",
            {**MODEL, "batch_size": 0},
            400,
            "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1",
        ),
        (
            "add_model",
            {**MODEL, "model_name": "a:b"},
            400,
            f"Invalid model name supplied: a:b. {separators}",
        ),
        (
            "add_model",
            {**MODEL, "model_version": "a,b"},
            400,
            f"Invalid model version supplied: a,b. {separators}",
        ),
        (
            "add_model",
            {**MODEL, "labels": ["a,b"]},
            400,
            f"Invalid label supplied: a,b. {separators}",
        ),
        (
            "add_model",
            without,
            200,
            "Successfully added model with name 'm' and input type 'doubles'",
        ),
        (
            "add_model",
            {**MODEL, "model_name": "j", "input_type": "json"},
            200,
            "Successfully added model with name 'j' and input type 'any'",
        ),
    )


def test_a_bad_input_type_is_answered(scenario, tmp_path):
    """Where Clipper hangs up, the answer is 400 and names the types."""

    async def steps(parts):
        for call, body in (("add_app", APP), ("add_model", MODEL)):
            status, text = await parts.clipper(call, **{**body, "input_type": "colours"})
            assert status == 400
            assert "'colours' is not an input type" in text
            assert "doubles" in text

    scenario(tmp_path, steps)


def test_numbers_and_lists_are_checked(scenario, tmp_path):
    """An int must be a whole 32-bit number, a list must hold strings."""

    async def steps(parts):
        for value in (1.5, 2**31, "1", True):
            status, text = await parts.clipper("add_app", **{**APP, "latency_slo_micros": value})
            assert status == 400
            assert "JSON key latency_slo_micros expected type intbut found type" in text
        status, text = await parts.clipper("add_model", **{**MODEL, "labels": [1]})
        assert (status, "Array input of type Number is not of type string" in text) == (400, True)
        assert "batch_size" not in text

    scenario(tmp_path, steps)


def test_containers_are_the_connected_replicas(scenario, tmp_path):
    """Replicas that can get queries are listed; those that start or ended are not."""

    async def steps(parts):
        await parts.clipper("add_model", **MODEL)
        states = [ReplicaState.READY, ReplicaState.STARTING, ReplicaState.UNHEALTHY]
        parts.supervisor.rows = [
            ReplicaStatus(
                application=None,
                model="m",
                version="1",
                replica=number,
                state=state,
                pid=1,
                restarts=0,
            )
            for number, state in enumerate(states)
        ]
        shown = {
            "model_id": "m:1",
            "model_name": "m",
            "model_version": "1",
            "model_replica_id": 2,
            "input_type": "doubles",
        }
        listed = await parts.clipper("get_all_containers", verbose=False)
        assert json.loads(listed[1]) == ["m:1:0", "m:1:2"]
        listed = await parts.clipper("get_all_containers", verbose=True)
        assert json.loads(listed[1])[1] == shown
        wanted = {"model_name": "m", "model_version": "1"}
        found = await parts.clipper("get_container", **wanted, replica_id=2)
        assert json.loads(found[1]) == shown
        assert await parts.clipper("get_container", **wanted, replica_id=1) == (200, "{}")

    scenario(tmp_path, steps)

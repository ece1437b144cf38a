"""servd's own admin API."""

import io
import json
import tarfile
from dataclasses import asdict

import msgspec
import pytest

from model_runtime.bundle import digest_of, unpack
from model_runtime.manifest import Manifest
from servd.datatypes import InputType, ModelVersion, ReplicaState, ReplicaStatus

API = "/api/v1"
MANIFEST = Manifest(loader="python", file="func.py", kind="function", object="f")
DEPLOY = {"model": "m", "bundle": "0" * 32, "app": "a"}


def _version(number="1", model="m", **more):
    return ModelVersion(model=model, version=number, input_type=InputType.DOUBLES, **more)


def _row(number, state):
    return ReplicaStatus(
        application=None, model="m", version="1", replica=number, state=state, pid=1, restarts=0
    )


def test_status(scenario, tmp_path):
    """The state names addresses, counts and memory."""

    async def steps(parts):
        status, answer = await parts.call("GET", f"{API}/status")
        assert status == 200
        assert answer["admin_url"] == parts.base
        assert answer["memory_bytes"] > 1_000_000
        assert (answer["applications"], answer["models"], answer["replicas"]) == (0, 0, 0)
        assert (answer["has_token"], answer["loading"]) == (False, [])

    scenario(tmp_path, steps)


def test_what_belongs_to_the_query_port_is_sent_there(scenario, tmp_path):
    """A path of the query API names the other port, one of this API its list of calls."""

    async def steps(parts):
        for path in ("/sums/predict", "/sums/update/"):
            status, text = await parts.call("POST", path, {"input": [1]})
            assert status == 404
            assert json.loads(text)["error"]["hint"].startswith(
                "this is the admin port; queries are answered at http://127.0.0.1:"
            )
        status, answer = await parts.call("GET", f"{API}/statuses")
        assert (status, answer["error"]["hint"]) == (
            404,
            "GET /api/v1/openapi.json lists what there is",
        )
        assert json.loads((await parts.call("GET", "/x"))[1])["error"]["hint"] == ""

    scenario(tmp_path, steps)


def test_applications(scenario, tmp_path):
    """An application is made with its link, shown, unlinked, linked and removed."""

    async def steps(parts):
        await parts.registry.add_version(_version())
        wanted = {"name": "a", "input_type": "d", "linked_models": ["m"]}
        status, made = await parts.call("POST", f"{API}/applications", wanted)
        assert status == 201
        assert made == {
            "name": "a",
            "input_type": "doubles",
            "default_output": None,
            "slo_us": 100_000,
            "policy": "default",
            "linked_models": ["m"],
            "query_url": f"http://127.0.0.1:{parts.config.query_port}/a/predict",
            "is_default": True,
        }
        assert await parts.call("GET", f"{API}/applications") == (200, [made])
        assert await parts.call("GET", f"{API}/applications/a") == (200, made)
        link = f"{API}/applications/a/links/m"
        assert (await parts.call("PUT", link))[0] == 204
        assert (await parts.call("DELETE", link))[0] == 204
        assert (await parts.call("DELETE", link))[0] == 404
        assert (await parts.call("PUT", link))[0] == 204
        assert parts.registry.state.links == {"a": ("m",)}
        assert (await parts.call("DELETE", f"{API}/applications/a"))[0] == 204
        status, answer = await parts.call("GET", f"{API}/applications/a")
        assert (status, answer["error"]["code"]) == (404, "application_not_found")

    scenario(tmp_path, steps)


def test_a_web_application_is_shown_where_it_is_reached(scenario, tmp_path):
    """It has paths of its own, and need not have one that is called predict."""

    async def steps(parts):
        await parts.registry.add_version(msgspec.structs.replace(_version(), web="asgi"))
        wanted = {"name": "a", "input_type": "d", "linked_models": ["m"]}
        _, made = await parts.call("POST", f"{API}/applications", wanted)
        assert made["query_url"] == f"http://127.0.0.1:{parts.config.query_port}/a/"

    scenario(tmp_path, steps)


def test_the_default_application(scenario, tmp_path):
    """The only one is, until there are two; then the one that is chosen, which has to be there."""

    async def steps(parts):
        path = f"{API}/default-application"
        assert await parts.call("GET", path) == (200, {"name": None, "is_chosen": False})
        await parts.call("POST", f"{API}/applications", {"name": "a"})
        assert await parts.call("GET", path) == (200, {"name": "a", "is_chosen": False})
        await parts.call("POST", f"{API}/applications", {"name": "b"})
        assert (await parts.call("GET", path))[1]["name"] is None
        chosen = (200, {"name": "b", "is_chosen": True})
        assert await parts.call("PUT", path, {"name": "b"}) == chosen
        assert await parts.call("GET", path) == chosen
        _, apps = await parts.call("GET", f"{API}/applications")
        assert [(app["name"], app["is_default"]) for app in apps] == [("a", False), ("b", True)]
        status, answer = await parts.call("PUT", path, {"name": "c"})
        assert (status, answer["error"]["code"]) == (404, "application_not_found")
        for wrong in ({}, {"name": 1}, {"name": "a", "more": 1}):
            assert (await parts.call("PUT", path, wrong))[0] == 400
        assert await parts.call("GET", path) == chosen
        none = (200, {"name": None, "is_chosen": False})
        assert await parts.call("PUT", path, {"name": None}) == none

    scenario(tmp_path, steps)


def test_routes(scenario, tmp_path):
    """A further path is made, listed, made once more, refused to others, and removed."""

    async def steps(parts):
        await parts.call("POST", f"{API}/applications", {"name": "a"})
        wanted = {"method": "POST", "path": "/score/", "app": "a", "takes": "X", "gives": "score"}
        shown = wanted | {"path": "/score", "is_batch": False}
        shown["query_url"] = f"http://127.0.0.1:{parts.config.query_port}/score"
        assert await parts.call("POST", f"{API}/routes", wanted) == (201, shown)
        assert await parts.call("POST", f"{API}/routes", wanted) == (201, shown)
        assert await parts.call("GET", f"{API}/routes") == (200, [shown])
        status, answer = await parts.call("POST", f"{API}/routes", wanted | {"gives": None})
        assert (status, answer["error"]["code"]) == (409, "conflict")
        status, answer = await parts.call("POST", f"{API}/applications", {"name": "score"})
        assert (status, answer["error"]["code"]) == (409, "conflict")
        where = f"{API}/routes?method=POST&path=/score"
        assert (await parts.call("DELETE", where))[0] == 204
        assert (await parts.call("DELETE", where))[0] == 404
        assert (await parts.call("POST", f"{API}/routes", wanted))[0] == 201
        assert (await parts.call("DELETE", f"{API}/applications/a"))[0] == 204
        assert await parts.call("GET", f"{API}/routes") == (200, [])

    scenario(tmp_path, steps)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": "-a"}, 400, "invalid_name"),
        ({"name": "metrics"}, 400, "invalid_name"),
        ({"slo_us": 0}, 400, "invalid_value"),
        ({"slo_us": 10**15}, 400, "invalid_value"),
        ({"input_type": "colours"}, 400, "unknown_input_type"),
        ({"policy": "random"}, 400, "invalid_value"),
        ({"slo": 1}, 400, "malformed_body"),
        ({"linked_models": ["gone"]}, 404, "model_not_found"),
        ({"name": "taken"}, 409, "application_exists"),
    ],
)
def test_a_refused_application_is_not_there(scenario, tmp_path, change, status, code):
    """Each refusal has its code and leaves no application behind."""

    async def steps(parts):
        await parts.call("POST", f"{API}/applications", {"name": "taken"})
        found = await parts.call("POST", f"{API}/applications", {"name": "a", **change})
        assert (found[0], found[1]["error"]["code"]) == (status, code)
        assert list(parts.registry.state.applications) == ["taken"]

    scenario(tmp_path, steps)


def test_models_and_versions(scenario, tmp_path):
    """Models show their versions, what is current and how many replicas are ready."""

    async def steps(parts):
        await parts.registry.add_version(_version("1", bundle="0" * 32))
        await parts.registry.add_version(_version("2"))
        parts.supervisor.rows = [_row(0, ReplicaState.READY), _row(1, ReplicaState.BACKOFF)]
        _, model = await parts.call("GET", f"{API}/models/m")
        assert (model["name"], model["current_version"]) == ("m", "2")
        first, second = model["versions"]
        assert (first["ready"], first["is_current"]) == (1, False)
        assert (second["ready"], second["is_current"]) == (0, True)
        assert await parts.call("GET", f"{API}/models") == (200, [model])
        assert await parts.call("GET", f"{API}/models/m/versions/1") == (200, first)
        _, scaled = await parts.call("PUT", f"{API}/models/m/replicas", {"replicas": 3})
        assert (scaled["version"], scaled["replicas"]) == ("2", 3)
        _, scaled = await parts.call("PUT", f"{API}/models/m/versions/1/replicas", {"replicas": 2})
        assert (scaled["version"], scaled["replicas"]) == ("1", 2)
        rolled = await parts.call("POST", f"{API}/models/m/rollback")
        assert rolled == (200, {"model": "m", "version": "1"})
        rolled = await parts.call("POST", f"{API}/models/m/rollback", {"version": "2"})
        assert rolled == (200, {"model": "m", "version": "2"})
        _, rows = await parts.call("GET", f"{API}/replicas")
        assert [row["state"] for row in rows] == ["ready", "backoff"]
        status, answer = await parts.call("DELETE", f"{API}/models/m/versions/2")
        assert (status, answer["error"]["message"]) == (409, "m:2 is the current version")
        assert answer["error"]["hint"] == "servd rollback m 1 first, or --force removes it"
        assert (await parts.call("DELETE", f"{API}/models/m/versions/2?force=true"))[0] == 204
        status, answer = await parts.call("PUT", f"{API}/models/m/replicas", {"replicas": 1})
        assert (status, answer["error"]["code"]) == (404, "version_not_found")
        assert (await parts.call("DELETE", f"{API}/models/m"))[0] == 204
        assert parts.registry.state.versions == {}

    scenario(tmp_path, steps)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "models/n"),
        ("DELETE", "models/n"),
        ("GET", "models/n/versions/1"),
        ("GET", "models/m/versions/9"),
        ("DELETE", "models/m/versions/9"),
        ("PUT", "models/n/replicas"),
        ("POST", "models/n/rollback"),
        ("GET", "logs/n"),
        ("DELETE", "applications/n"),
        ("PUT", "applications/n/links/m"),
    ],
)
def test_what_does_not_exist_is_404(scenario, tmp_path, method, path):
    """Unknown names are 404 with a message."""

    async def steps(parts):
        await parts.registry.add_version(_version())
        status, answer = await parts.call(method, f"{API}/{path}", {"replicas": 1})
        if path.endswith("rollback"):
            status, answer = await parts.call(method, f"{API}/{path}")
        assert status == 404
        assert answer["error"]["message"]

    scenario(tmp_path, steps)


def test_bundles(scenario, tmp_path):
    """A bundle is uploaded once; a wrong one is refused."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "files").mkdir()
    (source / "files" / "func.py").write_text("def f(rows): return rows")
    (source / "model.json").write_text(json.dumps(asdict(MANIFEST)))
    digest = digest_of(source)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("model.json", "files/func.py"):
            archive.add(source / name, name)

    async def steps(parts):
        path = f"{API}/bundles/{digest}"
        assert (await parts.call("HEAD", path))[0] == 404
        assert await parts.call("PUT", path, packed.getvalue()) == (201, {"digest": digest})
        assert (await parts.call("HEAD", path))[0] == 200
        assert await parts.call("PUT", path, packed.getvalue()) == (200, {"digest": digest})
        async with parts.client.get(parts.base + path) as answer:
            assert answer.content_type == "application/x-tar"
            unpack(io.BytesIO(await answer.read()), tmp_path / "downloaded", 10_000)
        assert digest_of(tmp_path / "downloaded") == digest
        assert (await parts.call("GET", f"{API}/bundles/{'0' * 32}"))[0] == 404
        assert [each.name for each in (tmp_path / "d" / "bundles").glob("*.tar")] == []
        wrong = await parts.call("PUT", f"{API}/bundles/{'0' * 32}", packed.getvalue())
        assert (wrong[0], wrong[1]["error"]["code"]) == (400, "bad_bundle")
        wrong = await parts.call("PUT", f"{API}/bundles/..%2F..%2Fx", packed.getvalue())
        assert wrong[0] == 400

    scenario(tmp_path / "data", steps)


def test_shutdown_is_passed_on(scenario, tmp_path):
    """The daemon is told to stop, with the seconds that were given."""
    told = []

    async def steps(parts):
        assert (await parts.call("POST", f"{API}/shutdown", {"drain_s": 1.5}))[0] == 202
        assert (await parts.call("POST", f"{API}/shutdown"))[0] == 202
        assert (await parts.call("POST", f"{API}/shutdown", {"drain_s": -1}))[0] == 400

    scenario(tmp_path, steps, shutdown=told.append)
    assert told == [1.5, None]
